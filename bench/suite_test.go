package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/report"
)

// smallSuite compares Busbar, another server, and one that never starts.
func smallSuite(t *testing.T) bench.SuiteOptions {
	o := bench.SuiteOptions{
		Options: options(t, 4), Rounds: 2, Window: 4, Connections: 8, SlowClients: 3,
		Duration: 200 * time.Millisecond, Settle: time.Millisecond,
		Slow: []bench.Target{{Name: "slow", Command: process(t, "faulty", "-fault", "none")}},
	}
	o.Targets = []bench.Target{
		o.Target,
		{Name: "other", Command: process(t, "faulty", "-fault", "none")},
		{Name: "absent", Command: []string{"false"}},
	}
	return o
}

func TestSuiteMeasuresEverything(t *testing.T) {
	t.Parallel()
	s, err := bench.RunSuite(t.Context(), smallSuite(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(); err != nil {
		t.Error(err)
	}
	for _, c := range []*bench.Comparison{s.Single, s.Windowed} {
		if len(c.Rounds) != 2 || c.Summary[0].CPU.Rounds != 2 || c.Summary[1].CPU.Rounds != 2 || c.Summary[2].Failures != 2 {
			t.Errorf("fan-out: %+v", c.Summary)
		}
	}
	for i, c := range s.Connections.Summary[:2] {
		if c.Handshake.Rounds != 2 || c.Handshake.Median <= 0 || c.Connects.Median <= 0 || c.User.Rounds != 2 {
			t.Errorf("connections, %d: %+v", i, c)
		}
	}
	if c := s.Connections.Summary[2]; c.Handshake.Rounds != 0 || c.Failures != 2 {
		t.Errorf("connections of who never starts: %+v", c)
	}
	if s.Slow.Summary[1].Target != "slow" || s.Slow.Summary[1].Ratio.Rounds != 2 || s.SlowIdle.Summary[0].Handshake.Rounds != 1 {
		t.Errorf("slow: %+v, %+v", s.Slow.Summary, s.SlowIdle.Summary)
	}
	checkMarkdown(t, s)
	checkPictures(t, s)
}

func checkMarkdown(t *testing.T, s *bench.Suite) {
	t.Helper()
	text := s.Markdown("docs/bench")
	for _, want := range []string{
		"](docs/bench/one-at-a-time.svg)", "](docs/bench/in-flight.svg)", "| **busbar** | ", "\n| other | ", "*slow* is too slow",
		s.Machine.Kernel, s.Machine.Date.Format("2006-01-02"), "4 clients, messages of 128 bytes, 2 rounds", "2 of 2 rounds failed",
		fmt.Sprintf("made %.0f deliveries a second", s.Slow.Summary[1].Deliveries.Median),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
	var columns []int
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") {
			columns = append(columns, strings.Count(line, "|"))
		}
	}
	if len(columns) != 2+3 || columns[0] != columns[1] || columns[0] != columns[4] {
		t.Errorf("columns of the table's lines: %v\n%s", columns, text)
	}
}

func checkPictures(t *testing.T, s *bench.Suite) {
	t.Helper()
	for _, p := range s.Pictures() {
		svg := report.SVG(p.Chart)
		for _, name := range []string{"busbar", "other", "absent"} {
			if !strings.Contains(svg, ">"+name+"<") {
				t.Errorf("%s doesn't show %s", p.File, name)
			}
		}
	}
	// The table and the chart are made apart, and say the same.
	_, row, _ := strings.Cut(s.Markdown("."), "| **busbar** | ")
	figure, _, _ := strings.Cut(row, " |")
	figure, _, _ = strings.Cut(figure, " (")
	if svg := report.SVG(s.Pictures()[0].Chart); figure == "" || !strings.Contains(svg, ">"+figure+"<") {
		t.Errorf("Busbar's bar doesn't say %q:\n%s", figure, svg)
	}
}

// Ctrl-C leaves what there is, which can be printed and isn't complete.
func TestInterruptedSuite(t *testing.T) {
	t.Parallel()
	o := smallSuite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(phase string, _, _ int64) {
		if strings.HasPrefix(phase, "4 in flight, round 1/2, other") {
			cancel()
		}
	}
	s, err := bench.RunSuite(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Interrupted || !errors.Is(s.Complete(), bench.ErrIncomplete) || s.Single.Summary[0].CPU.Rounds != 2 || s.Windowed.Summary[0].CPU.Rounds != 1 {
		t.Errorf("interrupted %v, complete: %v, %+v", s.Interrupted, s.Complete(), s.Windowed.Summary)
	}
	var table bytes.Buffer
	if err := s.WriteTable(&table); err != nil || !strings.Contains(table.String(), "interrupted: not everything is there") {
		t.Errorf("%v\n%s", err, table.String())
	}
	if n := len(s.Sections()); n != 2 {
		t.Errorf("%d parts of the two that were begun", n)
	}
	if text := s.Markdown("."); !strings.Contains(text, "| **busbar** | ") || !strings.Contains(text, " | – | – |\n") {
		t.Errorf("the summary of half a suite:\n%s", text)
	}
}

func TestSuiteWithoutItsOwnTargetIsIncomplete(t *testing.T) {
	t.Parallel()
	o := smallSuite(t)
	o.Targets = []bench.Target{{Name: "busbar", Command: []string{"false"}}}
	o.Slow, o.Rounds = nil, 1
	s, err := bench.RunSuite(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(); !errors.Is(err, bench.ErrIncomplete) || !strings.Contains(err.Error(), "1 rounds of busbar failed") {
		t.Errorf("complete: %v", err)
	}
}

func TestSuitesThatCantBe(t *testing.T) {
	for want, change := range map[string]func(*bench.SuiteOptions){
		"0 targets":           func(o *bench.SuiteOptions) { o.Targets = nil },
		"0 rounds":            func(o *bench.SuiteOptions) { o.Rounds = 0 },
		"window: 1 messages":  func(o *bench.SuiteOptions) { o.Window = 1 },
		"duration is require": func(o *bench.SuiteOptions) { o.Duration = 0 },
		"and has 5m0s":        func(o *bench.SuiteOptions) { o.Duration, o.Within = time.Minute, 5*time.Minute },
	} {
		o := smallSuite(t)
		change(&o)
		if _, err := bench.RunSuite(t.Context(), o); !errors.Is(err, bench.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

func TestEstimateOfASuiteGrowsWithIt(t *testing.T) {
	o := smallSuite(t)
	small, err := o.Plan()
	o.Rounds *= 2
	more, errMore := o.Plan()
	if err != nil || errMore != nil || small <= 0 || more <= small {
		t.Errorf("%v, %v; for twice the rounds %v, %v", small, err, more, errMore)
	}
}
