package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// four are Busbar, another server, one that loses a message, and one that never starts.
func four(t *testing.T) []runner.Target {
	return []runner.Target{
		load(t, 1).Target,
		{Name: "other", Command: process(t, "faulty", "-fault", "none")},
		{Name: "lossy", Command: process(t, "faulty", "-fault", "lose")},
		{Name: "absent", Command: []string{"false"}},
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	p := load(t, 5)
	p.Window, p.Messages = 4, 20
	s, err := bench.Compare(t.Context(), "few", "busbar", 2, p.Against(four(t))...)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ rounds, failures int }{{2, 0}, {2, 0}, {0, 2}, {0, 2}} {
		r := s.Results[i]
		ratio := r.Figure("cpu_per_delivery").Ratio
		if r.Rounds != want.rounds || len(r.Failures) != want.failures || (ratio == nil) != (want.rounds == 0) {
			t.Errorf("%s: %d rounds, failures %q, ratio %+v", r.Name, r.Rounds, r.Failures, ratio)
		}
	}
	if r := s.Results[0].Figure("cpu_per_delivery").Ratio; r.Low != 1 || r.High != 1 {
		t.Errorf("the base, divided by itself: %+v", r)
	}
	d := bench.NewDocument("a <command>", s)
	checkDocument(t, d, []string{"to busbar", "lossy: FAILED: round 1: of 5 clients: 1 deliveries lost", "absent: FAILED: round 2: ", "other"})
}

// checkDocument looks for texts in what a document is printed as, and at its page and JSON.
func checkDocument(t *testing.T, d *bench.Document, wanted []string) {
	t.Helper()
	var table, page strings.Builder
	if err := errors.Join(d.Write(&table), d.WriteHTML(&page)); err != nil {
		t.Fatal(err)
	}
	for _, want := range wanted {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q isn't in\n%s", want, table.String())
		}
		if !strings.Contains(page.String(), want) {
			t.Errorf("%q isn't in the page", want)
		}
	}
	if strings.Contains(page.String(), "<command>") || strings.Count(page.String(), "echarts.init(") == 0 {
		t.Errorf("no charts, or text that isn't escaped:\n%s", page.String())
	}
	for _, s := range d.Sections {
		for _, table := range s.Tables() {
			seen := map[string]bool{}
			for _, h := range table.Head {
				if seen[h] {
					t.Errorf("two columns are called %q", h)
				}
				seen[h] = true
			}
		}
	}
	text, err := json.Marshal(d)
	var again bench.Document
	if err = errors.Join(err, json.Unmarshal(text, &again)); err != nil || again.Schema != bench.Schema {
		t.Errorf("schema %d, %v", again.Schema, err)
	}
}

func TestComparisonsThatCantBe(t *testing.T) {
	p := load(t, 5)
	p.Messages = 1
	targets := four(t)
	for want, call := range map[string]func() error{
		"the base raw": func() error { _, err := bench.Compare(t.Context(), "", "raw", 1, p.Against(targets)...); return err },
		"0 rounds":     func() error { _, err := bench.Compare(t.Context(), "", "", 0, p.Against(targets)...); return err },
		"called busbar": func() error {
			_, err := bench.Compare(t.Context(), "", "", 1, p.Against(append(targets, targets[0]))...)
			return err
		},
		"window 1": func() error {
			_, err := bench.RunSuite(t.Context(), bench.SuiteOptions{Profile: p, Targets: targets, Connections: 1, Rounds: 1})
			return err
		},
	} {
		if err := call(); !errors.Is(err, bench.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

// smallSuite compares Busbar, another server, and one that never starts.
func smallSuite(t *testing.T) bench.SuiteOptions {
	o := bench.SuiteOptions{Profile: load(t, 4), Rounds: 1, Connections: 8}
	o.Profile.Window, o.Profile.Duration, o.Profile.Settle = 4, 100*time.Millisecond, time.Millisecond
	all := four(t)
	o.Targets = []runner.Target{all[0], all[1], all[3]}
	return o
}

func TestSuiteMeasuresEverything(t *testing.T) {
	t.Parallel()
	d, err := bench.RunSuite(t.Context(), smallSuite(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Complete(); err != nil {
		t.Error(err)
	}
	checkDocument(t, d, []string{"one message at a time", "4 messages in flight", "user memory per connection"})
	text := d.Markdown()
	for _, want := range []string{
		"| **busbar** | ", "\n| other | ", d.Machine.Kernel, "4 clients, messages of 128 bytes, rounds: 1", "1 of 1 rounds failed",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
	columns := -1
	for line := range strings.Lines(text) {
		if n := strings.Count(line, "|"); strings.HasPrefix(line, "|") && columns >= 0 && n != columns {
			t.Errorf("%d columns where there were %d: %s", n, columns, line)
		} else if n > 0 {
			columns = n
		}
	}
}

// Ctrl-C leaves what there is, which can be printed and isn't complete. Without its own target a suite
// isn't either.
func TestIncompleteSuites(t *testing.T) {
	t.Parallel()
	o := smallSuite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Profile.Progress = func(phase string, _, _ int64) {
		if strings.HasPrefix(phase, "4 messages in flight, round 1/1, other") {
			cancel()
		}
	}
	d, err := bench.RunSuite(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Complete(); !errors.Is(err, bench.ErrIncomplete) || len(d.Sections) != 2 {
		t.Errorf("complete: %v, %d sections", err, len(d.Sections))
	}
	checkDocument(t, d, []string{"interrupted: not everything is there"})
	if text := d.Markdown(); !strings.Contains(text, "| **busbar** | ") || !strings.Contains(text, " | – | – |\n") {
		t.Errorf("the summary of half a suite:\n%s", text)
	}
	o = smallSuite(t)
	o.Targets = []runner.Target{{Name: "busbar", Command: []string{"false"}}}
	if d, err = bench.RunSuite(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := d.Complete(); !errors.Is(err, bench.ErrIncomplete) || !strings.Contains(err.Error(), "1 rounds of busbar failed") {
		t.Errorf("complete: %v", err)
	}
}

// stock is a server that knows nothing of the bench, and listens where it wants to.
func stock(t *testing.T) func(protocol, path string) runner.Target {
	t.Helper()
	program := filepath.Join(t.TempDir(), "stock")
	build := exec.Command("go", "build", "-o", program, "./testdata/stock")
	build.Dir = "peers"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building it: %v\n%s", err, out)
	}
	return func(protocol, path string) runner.Target {
		l, err := net.Listen("tcp", net.JoinHostPort(runner.OwnLoopback(), "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		at := l.Addr().String()
		return runner.Target{Name: protocol, Command: []string{program, protocol, at}, Address: at + path, Protocol: protocol}
	}
}

// Servers of others are measured as they are: all that is checked of Busbar is checked of them.
func TestServersThatKnowNothingOfTheBench(t *testing.T) {
	t.Parallel()
	of := stock(t)
	for _, target := range []runner.Target{of("echo", "/any"), of("centrifugo", "/connection/websocket")} {
		p := load(t, 40)
		p.Window, p.Messages, p.Workers, p.Target = 8, 200, 2, target
		p.Sizes = loadgen.Mixture{{Size: loadgen.MinSize, Weight: 2}, {Size: 5000, Weight: 1}}
		expect(t, mustRun(t, p), map[string]float64{
			"deliveries": 8000, "messages": 200, "cpu_per_handshake": 0, "cpu_per_delivery": 0, "sends_per_delivery": -1, "text_messages": -1,
		})
		p.Rate, p.Churn, p.Stalled = 200, 50, 0.1
		expect(t, mustRun(t, p), map[string]float64{"messages": 200, "stalled": 4, "came": 0, "text_messages": -1})
	}
	wrong := of("echo", "")
	wrong.Protocol = "centrifugo"
	denied := of("deny", "/connection/websocket")
	denied.Protocol = "centrifugo"
	lost := of("centrifugo", "/elsewhere")
	for want, target := range map[string]runner.Target{"came to 0 of 2": wrong, "permission denied": denied, "404": lost} {
		p := load(t, 2)
		p.Messages, p.Target = 1, target
		if target.Address == wrong.Address {
			p.Stall = 3 * time.Second // which is waited for
		}
		if _, err := bench.Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}
