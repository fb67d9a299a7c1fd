package report_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/bench/report"
)

func one(label string, rank report.Rank, at, low, high float64) report.Row {
	text := fmt.Sprint(at)
	return report.Row{Label: label, Rank: rank, Values: []report.Value{{At: at, Low: low, High: high, Text: text, Detail: fmt.Sprint(low, " – ", high)}}}
}

func TestBarsAreAsLongAsTheirValues(t *testing.T) {
	b := report.Bars{Title: "CPU <&> more", Note: strings.Repeat("many words ", 30), Line: 1, Rows: []report.Row{
		one("busbar", report.Own, 0.98, 0.9, 1.1),
		one("raw", report.Baseline, 1, 1, 1),
		one(`a "long" name <&> of a server`, report.Other, 4, 3, 6),
		{Label: "absent", Total: "no round"},
	}}
	text := report.SVG(b)
	checkSelfContained(t, text)
	all := parse(t, text)
	checkInside(t, all)
	bars := find(all, "rect", "bar")
	if len(bars) != 3 || len(find(all, "line", "whisker")) != 2*3 || len(find(all, "line", "mark")) != 1 {
		t.Fatalf("%d bars, %d lines of whiskers, %d marks", len(bars), len(find(all, "line", "whisker")), len(find(all, "line", "mark")))
	}
	unit := bars[1].number(t, "width")
	for i, want := range []float64{0.98, 1, 4} {
		if got := bars[i].number(t, "width") / unit; math.Abs(got-want) > 0.01 {
			t.Errorf("bar %d is %v times as long as that of 1; want %v", i, got, want)
		}
	}
	whisker := find(all, "line", "whisker")[3] // of the third bar: from 3 to 6
	if long := (whisker.number(t, "x2") - whisker.number(t, "x1")) / unit; math.Abs(long-3) > 0.02 {
		t.Errorf("the whisker of 3 to 6 is %v long", long)
	}
	if !bars[0].is("own") || !bars[1].is("base") || bars[2].is("own") {
		t.Errorf("ranks: %v, %v, %v", bars[0].attrs, bars[1].attrs, bars[2].attrs)
	}
	for _, want := range []string{"CPU &lt;&amp;&gt; more", "0.9 – 1.1", ">0.98<", "no round", "prefers-color-scheme: dark"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
}

func TestSeriesHaveABarEachAndALegend(t *testing.T) {
	row := report.Row{Label: "gws", Values: []report.Value{{At: 1, Text: "1 ms"}, {At: 2, Text: "2 ms"}}, Total: "3 ms"}
	b := report.Bars{Title: "Latency", Series: []string{"p50", "p99"}, Rows: []report.Row{row, row}}
	for _, stacked := range []bool{false, true} {
		b.Stacked = stacked
		text := report.SVG(b)
		all := parse(t, text)
		checkInside(t, all)
		bars := find(all, "rect", "bar")
		if len(bars) != 4 || len(find(all, "rect", "key")) != 2 {
			t.Fatalf("stacked %v: %d bars, %d keys", stacked, len(bars), len(find(all, "rect", "key")))
		}
		end := bars[0].number(t, "x") + bars[0].number(t, "width")
		if behind := math.Abs(bars[1].number(t, "x")-end) < 0.2; behind != stacked {
			t.Errorf("stacked %v: the first bar ends at %v, the second begins at %v", stacked, end, bars[1].number(t, "x"))
		}
		if same := bars[0].attrs["y"] == bars[1].attrs["y"]; same != stacked {
			t.Errorf("stacked %v: on one line: %v", stacked, same)
		}
		if strings.Contains(text, ">3 ms<") != stacked {
			t.Errorf("stacked %v: the total is there: %v", stacked, !stacked)
		}
	}
}

func TestBarsOfNothing(t *testing.T) {
	for _, b := range []report.Bars{{Title: "nothing"}, {Title: "zero", Rows: []report.Row{one("x", "", 0, 0, 0)}}} {
		text := report.SVG(b)
		checkInside(t, parse(t, text))
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%s:\n%s", b.Title, text)
		}
	}
}

func TestCurvesRiseWithinTheirFrame(t *testing.T) {
	rising := []report.Point{{0, 900}, {50, 2e3}, {90, 9e3}, {99, 4e4}, {99.9, 8e5}, {100, 3e6}}
	flat := []report.Point{{0, 0}, {100, 5e3}}
	c := report.Curves{
		Title: "Latency", Lines: []report.Line{{"delivery", rising}, {"late", flat}},
		Format: func(v float64) string { return fmt.Sprintf("%g µs", v/1e3) },
	}
	text := report.SVG(c)
	checkSelfContained(t, text)
	all := parse(t, text)
	checkInside(t, all)
	lines := find(all, "polyline", "curve")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	lastX, lastY := -1.0, math.Inf(1)
	points := strings.Fields(lines[0].attrs["points"])
	for _, point := range points {
		var x, y float64
		if _, err := fmt.Sscanf(point, "%g,%g", &x, &y); err != nil {
			t.Fatal(err)
		}
		if x <= lastX || y >= lastY || x > all[0].number(t, "width") || y < 0 {
			t.Errorf("%v, %v comes behind %v, %v", x, y, lastX, lastY)
		}
		lastX, lastY = x, y
	}
	if len(points) != len(rising) {
		t.Errorf("%d points of %d", len(points), len(rising))
	}
	for _, want := range []string{">99.9 %<", ">max<", ">100 µs<", ">delivery<", ">late<"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
}

func TestSingleCurveSaysItsValues(t *testing.T) {
	for _, points := range [][]report.Point{nil, {{100, 7}}, {{50, 3}, {99, 5}, {100, 7}}} {
		text := report.SVG(report.Curves{Lines: []report.Line{{"one", points}}, Format: func(v float64) string { return fmt.Sprintf("v%.0f", v) }})
		checkInside(t, parse(t, text))
		for _, p := range points {
			if want := fmt.Sprintf(">v%.0f<", p.At); !strings.Contains(text, want) {
				t.Errorf("%q isn't in\n%s", want, text)
			}
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("of %v:\n%s", points, text)
		}
	}
}
