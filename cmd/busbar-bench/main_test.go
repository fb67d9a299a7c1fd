package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar-ws/busbar/internal/leaks"
)

// TestMain is also the processes that the commands start: this program is its own target
// and worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") { // else the tests would run once more in there
		os.Exit(run(context.Background(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
	}
	_ = flag.Set("test.parallel", "4") // a scenario waits more than it works; -parallel overrides it
	leaks.Main(m)
}

// try runs a command in this process.
func try(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{strings.NewReader(""), &o, &e})
	return code, o.String(), e.String()
}

// reported is what a command's -html has to show.
type reported struct {
	charts int
	want   []string
}

func TestCommandsPrintATableAndWriteFiles(t *testing.T) {
	t.Parallel()
	few := []string{"-clients", "20", "-workers", "2", "-server-cores", "0"}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	messages := []string{"-messages", "20", "-warm-up", "0"}
	tests := []struct {
		name string
		args []string
		want []string // in the table
		keys []string // of the JSON
		html reported // the zero value: not asked for
	}{
		{"fanout", append(append([]string{"fanout"}, few...), messages...), []string{"20 clients, 128 bytes, window of 1", "CPU per delivery"}, []string{"machine", "result"}, reported{2, []string{"Latency of delivery", "CPU per delivery", "sends per delivery"}}},
		{"idle", append([]string{"idle", "-settle", "1ms"}, few...), []string{"user, per connection"}, []string{"machine", "result"}, reported{1, []string{"Memory per idle connection", "resident before"}}},
		{"storm", append([]string{"storm"}, few...), []string{"CPU per handshake"}, []string{"machine", "result"}, reported{2, []string{"Latency of connecting", "CPU per handshake"}}},
		{"storm", append([]string{"storm", "-sessions"}, few...), []string{"CPU per handshake"}, []string{"machine", "result"}, reported{}},
		{"loops", append([]string{"loops", "-rounds", "1", "-messages", "3", "-processes", "2"}, few...), []string{"loops-2", "loops-1, 2 processes", "1.00–1.00"}, []string{"machine", "result"}, reported{1, []string{"divided by those of loops-1", ">loops-2<"}}},
		{
			"slow", append(append([]string{"slow", "-stalled", "5%", "-rounds", "1", "-policy", "drop-oldest"}, few...), messages...),
			[]string{"with ÷ without", "stopped reading  1: ", "takes a longer run"}, []string{"machine", "result"}, reported{},
		},
		{
			"churn", append(append([]string{"churn", "-rounds", "1", "-rate", "100", "-churn", "50"}, few...), messages...),
			[]string{"CPU per arrival", "upgrade p99", "the server counts 20 clients"}, []string{"machine", "result"}, reported{},
		},
		{
			"rush", append(append([]string{"rush", "-rounds", "1", "-rate", "100", "-storm", "200", "-accept-rate", "-1"}, few...), messages...),
			[]string{"upgrades a second", "came at once   200", "upgrade p99"}, []string{"machine", "result"}, reported{},
		},
		{
			"mixed", append(append([]string{"mixed", "-stalled", "0.05", "-sizes", "64:3,5000:1", "-rate", "0", "-window", "2"}, few...), messages...),
			[]string{"20 clients, 64:3,5000:1 bytes, window of 2", "came and left"}, []string{"machine", "result"}, reported{},
		},
		{
			"rows", append(append([]string{"rows", "-rows", "4", "-settle", "1ms", "-token", "any"}, few...), messages...),
			[]string{"20 clients, 4 rows each, 3 to a row, 128 bytes, window of 1", "per subscription", "to 3 clients"}, []string{"machine", "result"}, reported{},
		},
		{
			"presence", append([]string{"presence", "-duration", "100ms", "-warm-up", "0", "-leave", "5"}, few...),
			[]string{"20 clients, 2 of them send", "CPU per delivery", "messages to each of 15 that stayed"}, []string{"machine", "result"}, reported{},
		},
		{
			"compare", append(append([]string{"compare", "-rounds", "2", "-targets", "busbar,other=" + self + " target", "-base", "busbar"}, few...), messages...),
			[]string{"to busbar", "1.00–1.00"}, []string{"machine", "rounds", "summary"},
			reported{3, []string{"divided by that of busbar", ">other<", "<th>p99</th>"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path, html := filepath.Join(t.TempDir(), "result.json"), filepath.Join(t.TempDir(), "report.html")
			args := append(test.args, "-json", path)
			if test.html.charts > 0 {
				args = append(args, "-html", html)
			}
			code, out, errs := try(t, args...)
			if code != exitOK || errs != "" {
				t.Fatalf("exit %d, %s", code, errs)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q isn't in\n%s", want, out)
				}
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var document map[string]any
			if err := json.Unmarshal(text, &document); err != nil {
				t.Fatal(err)
			}
			for _, key := range test.keys {
				if document[key] == nil {
					t.Errorf("the JSON has no %s", key)
				}
			}
			if test.html.charts > 0 {
				checkReport(t, html, test.name, test.html.charts, test.html.want)
			}
		})
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"fan"}, `"fan" isn't a command`},
		{[]string{"fanout", "-clints", "3"}, "-clints"},
		{[]string{"fanout", "3"}, `"3": unexpected argument`},
		{[]string{"storm", "-clients", "0"}, "-clients"},
		{[]string{"idle", "-server-cores", "x"}, "-server-cores"},
		{[]string{"idle", "-stall", "0"}, "-stall 0s"},
		{[]string{"fanout", "-target", "="}, "NAME=COMMAND"},
		{[]string{"fanout", "-size", "8"}, "size: 8 bytes"},
		{[]string{"fanout", "-json", "out", "-html", "./out"}, "-json and -html are both out"},
		{[]string{"fanout", "-workers", "5", "-clients", "4"}, "more than -clients 4"},
		{[]string{"compare", "-targets", "a=true,b=true", "-loops", "2"}, "-loops is for the target busbar"},
		{[]string{"fanout", "-target", "mine=true", "-loops", "2"}, "-loops is for -target busbar"},
		{[]string{"slow", "-target", "mine=true", "-lag-bytes", "9"}, "-lag-bytes is for -target busbar"},
		{[]string{"fanout", "-server-cores", "0,1023"}, "-server-cores 0,1023: core 1023"},
		{[]string{"storm", "-sessions", "-token", "x"}, "-sessions and -token"},
		{[]string{"mixed", "-size", "64"}, "-size has no meaning beside -sizes"},
		{[]string{"loops", "-counts", "1,x"}, `"x" isn't a number of event loops`},
		{[]string{"loops", "-messages", "20", "-size", "65536"}, "may not fit"},
		{[]string{"loops", "-processes", "1"}, "1 processes at once"},
		{[]string{"storm", "-sessions", "-target", "raw"}, "raw has no sessions"},
		{[]string{"loops", "-loops", "2"}, "-loops"},
		{[]string{"rush", "-window", "8"}, "-window"},
		{[]string{"fanout", "-rate", "50", "-window", "8"}, "-rate is 50 here"},
		{[]string{"mixed", "-window", "8"}, "-rate is 50 here"},
		{[]string{"rows", "-rows", "10001"}, "subscribe to 10000"},
		{[]string{"rows", "-subscribers", "0"}, "-subscribers 0"},
		{[]string{"rows", "-clients", "2"}, "3 subscribers, 2 clients"},
		{[]string{"presence", "-rate", "0"}, "-rate"},
		{[]string{"presence", "-leave", "1000"}, "leave: 1000 of 1000 clients"},
		{[]string{"compare", "-targets", "busbar", "-base", "other"}, "the base other"},
		{[]string{"fanout", "-target", "raw", "-peers", "/nowhere/peers"}, "there is no such program"},
		{[]string{"fanout", "-json", "/nowhere/x.json"}, "-json /nowhere/x.json"},
		{[]string{"fanout", "-json", "-"}, "-json -: a file"},
		{[]string{"compare", "-targets", "busbar,busbar"}, "two targets are called busbar"},
		{[]string{"fanout", "-target", "nosuch", "-peers", peersOf(t, "raw")}, "has no server \"nosuch\", only raw"},
		{[]string{"fanout", "-html", os.TempDir()}, "that is a folder"},
		{[]string{"fanout", "-clients", "90000000"}, "need as many descriptors"},
		{[]string{"compare", "-rounds", "0"}, "-rounds 0"},
		{[]string{"compare", "-targets", "busbar,"}, "a target without a name"},
		{[]string{"slow", "-stalled", "x"}, `"x" is no share`},
		{[]string{"slow", "-stalled", "30%"}, "stalled: 0.3 of the clients"},
		{[]string{"slow", "-policy", "drop"}, `-policy "drop"`},
		{[]string{"slow", "-rounds", "0"}, "-rounds 0"},
		{[]string{"slow", "-lag-bytes", "-1"}, "-lag-bytes"},
		{[]string{"churn", "-churn", "0"}, "churn: 0 clients a second"},
		{[]string{"rush", "-storm", "0"}, "storm: 0 clients"},
		{[]string{"rush", "-rate", "0"}, "rate: 0 messages a second; above 0"},
		{[]string{"fanout", "-rate", "NaN"}, "rate: NaN"},
		{[]string{"idle", "-settle", "-1s"}, "settle: -1s"},
		{[]string{"mixed", "-sizes", "64:"}, `sizes: "64:" isn't SIZE:WEIGHT`},
	} {
		code, out, errs := try(t, test.args...)
		if code != exitUsage || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%q: exit %d, %q, printed %q; want a line with %q", test.args, code, errs, out, test.want)
		}
	}
}

// peersOf is a program that says that it has these servers.
func peersOf(t *testing.T, names string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "peers")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho "+names+"\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return program
}

func TestInterruptedBeforeAnythingWasMeasured(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	code := run(ctx, []string{"fanout", "-clients", "20"}, streams{strings.NewReader(""), &out, &errs})
	if code != exitOK || !strings.Contains(errs.String(), "interrupted before anything was measured") || out.String() != "" {
		t.Errorf("exit %d, %q, printed %q", code, errs.String(), out.String())
	}
}

// timeout(1) signals a process and its group; what there is has to be printed all the same.
func TestSignalsThatComeTogetherAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stopped atomic.Bool
		ctx, signalled := context.WithCancel(t.Context())
		afterOneSignal(ctx, func() { stopped.Store(true) })
		<-time.After(time.Hour) // of the bubble's clock
		signalled()
		synctest.Wait()
		<-time.After(oneSignal - 1)
		if stopped.Load() {
			t.Error("a signal that comes with the first ends the process")
		}
		<-time.After(1)
		synctest.Wait()
		if !stopped.Load() {
			t.Error("a later one doesn't")
		}
	})
}

func TestTargetThatEndsIsAFailure(t *testing.T) {
	code, _, errs := try(t, "fanout", "-target", "mine=false", "-clients", "1", "-messages", "1")
	if code != exitFailure || !strings.Contains(errs, "starting mine: it ended before it said that it was ready") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// The interval reaches the loops, which find it too short.
func TestTargetTakesAPingInterval(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	code, _, errs := try(t, "idle", "-clients", "1", "-target", "mine="+self+" target -ping-interval 1ms")
	if code != exitFailure || !strings.Contains(errs, "ping interval") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"-help"}, {"fanout", "-help"}, {"idle", "-h"}, {"compare", "--help"}, {"mixed", "-help"}} {
		if code, out, errs := try(t, args...); code != exitOK || out == "" || errs != "" {
			t.Errorf("%q: exit %d, %d bytes of help, %q", args, code, len(out), errs)
		}
	}
}

func TestTokenIsTheClients(t *testing.T) {
	f := newFlags("fanout", streams{})
	if err := f.parse([]string{"-token", "secret"}); err != nil {
		t.Fatal(err)
	}
	o, err := f.options(newBar(nil))
	if err != nil || o.Load.Token != "secret" {
		t.Errorf("token %q, %v", o.Load.Token, err)
	}
}
