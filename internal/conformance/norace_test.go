//go:build !race

package conformance

// raceEnabled says that the tests, and the daemon that they start, run under the race detector.
const raceEnabled = false
