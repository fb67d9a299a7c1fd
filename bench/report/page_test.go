package report_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/bench/report"
)

// plain is a result that has a table and nothing else.
type plain struct{ err error }

func (p plain) WriteTable(w io.Writer) error {
	fmt.Fprintln(w, "before <it>")
	if parts, ok := w.(*report.Parts); ok {
		parts.AddTable([][]string{{"target", "ratio"}, {"raw<x>", "1.00"}}, true)
		parts.AddTable([][]string{{"clients", "20"}}, false)
	}
	fmt.Fprintln(w, "behind it")
	return p.err
}

type charted struct{ plain }

func (charted) Charts() []report.Chart {
	return []report.Chart{report.Bars{Title: "first chart"}, report.Bars{Title: "second chart"}}
}

type sectioned struct{ plain }

func (sectioned) Sections() []report.Section {
	return []report.Section{{"Part one", plain{}}, {"Part two", charted{}}}
}

// page writes a report and reads it.
func page(t *testing.T, r report.Result) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	p := report.Page{Title: "a <title>", Facts: []report.Fact{{"Kernel", "Linux <6>"}, {"Empty", ""}}, Result: r}
	if err := p.WriteHTML(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPageIsOneFileThatNeedsNoOther(t *testing.T) {
	for _, r := range []report.Result{plain{}, charted{}, sectioned{}} {
		text := page(t, r)
		checkSelfContained(t, text)
		if all := parse(t, text); len(find(all, "dt", "")) != 1 {
			t.Errorf("%d facts; that without a value is none", len(find(all, "dt", "")))
		}
		for _, want := range []string{"a &lt;title&gt;", "Linux &lt;6&gt;", "prefers-color-scheme: dark"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q isn't in\n%s", want, text)
			}
		}
	}
}

func TestPageHasTheTablesOfAnyResult(t *testing.T) {
	all := parse(t, page(t, plain{}))
	if tables, heads := find(all, "table", ""), find(all, "thead", ""); len(tables) != 2 || len(heads) != 1 || !tables[0].is("figures") {
		t.Errorf("%d tables, %d with a heading", len(tables), len(heads))
	}
	if cells := find(all, "td", ""); len(cells) != 2 || cells[0].text != "1.00" || cells[1].text != "20" {
		t.Errorf("cells: %v", cells)
	}
	if notes := find(all, "pre", ""); len(notes) != 2 || notes[0].text != "before <it>" || notes[1].text != "behind it" {
		t.Errorf("text around tables: %v", notes)
	}
}

func TestPageHasChartsAndSections(t *testing.T) {
	if charts := find(parse(t, page(t, charted{})), "svg", ""); len(charts) != 2 || charts[1].attrs["aria-label"] != "second chart" {
		t.Errorf("charts: %v", charts)
	}
	all := parse(t, page(t, sectioned{}))
	headings := find(all, "h2", "")
	if len(headings) != 2 || headings[1].text != "Part two" || len(find(all, "svg", "")) != 2 || len(find(all, "table", "")) != 4 {
		t.Errorf("headings %v, %d charts, %d tables", headings, len(find(all, "svg", "")), len(find(all, "table", "")))
	}
}

func TestPageThatCantBeWritten(t *testing.T) {
	broken := errors.New("broken")
	if err := (report.Page{Result: plain{broken}}).WriteHTML(filepath.Join(t.TempDir(), "x.html")); !errors.Is(err, broken) {
		t.Errorf("a result that fails: %v", err)
	}
	if err := (report.Page{Result: plain{}}).WriteHTML(filepath.Join(t.TempDir(), "no", "x.html")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that isn't there: %v", err)
	}
}
