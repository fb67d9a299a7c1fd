// Package report draws results as charts and writes them as an HTML page, without
// knowing what was measured. Nothing in it needs a network: charts are SVG, the page has
// everything inside, and both follow the reader's light or dark setting.
//
// Nothing here is safe to be used from several goroutines at once.
package report
