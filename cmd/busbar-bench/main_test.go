package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/internal/leaks"
)

// TestMain is also the processes that the commands start: this program is its own target.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") { // else the tests would run once more in there
		os.Exit(run(context.Background(), os.Args[1:], streams{os.Stdout, os.Stderr}))
	}
	_ = flag.Set("test.parallel", "4") // a scenario waits more than it works; -parallel overrides it
	leaks.Main(m)
}

// try runs a command in this process.
func try(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{&o, &e})
	return code, o.String(), e.String()
}

func TestCommandsPrintATableAndWriteFiles(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	few := []string{"-clients", "20", "-server-cores", "0"}
	messages := append([]string{"-messages", "20", "-warm-up", "0"}, few...)
	for _, test := range []struct {
		args []string
		want []string // in the table and on the page
	}{
		{append([]string{"run"}, messages...), []string{"20 clients, messages of 128 bytes, 1 in flight", "CPU per delivery"}},
		{append([]string{"run", "storm", "-sessions"}, few...), []string{"CPU per handshake", "connect p99"}},
		{append([]string{"run", "slow", "-stalled", "5%", "-rounds", "2", "-args", "-policy drop-oldest"}, messages...), []string{"with ÷ without", "stalled caught up"}},
		{append([]string{"run", "mixed", "-stalled", "0.05", "-size", "64:3,5000:1", "-rate", "0", "-window", "2"}, messages...), []string{"messages of 64:3,5000:1 bytes, 2 in flight, 5% stop"}},
		{append([]string{"compare", "-rounds", "2", "-targets", "busbar,other=" + self + " target", "-base", "busbar"}, messages...), []string{"to busbar", "other"}},
	} {
		path, html := filepath.Join(t.TempDir(), "result.json"), filepath.Join(t.TempDir(), "report.html")
		code, out, errs := try(t, append(test.args, "-json", path, "-html", html)...)
		if code != exitOK || errs != "" {
			t.Fatalf("%q: exit %d, %s", test.args, code, errs)
		}
		page := read(t, html)
		for _, want := range test.want {
			if !strings.Contains(out, want) || !strings.Contains(page, want) {
				t.Errorf("%q: %q isn't in\n%s", test.args, want, out)
			}
		}
		var d bench.Document
		if err := json.Unmarshal([]byte(read(t, path)), &d); err != nil {
			t.Fatal(err)
		}
		if d.Schema != bench.Schema || !strings.HasPrefix(d.Command, "busbar-bench "+test.args[0]) || len(d.Sections[0].Results[0].Figures) == 0 {
			t.Errorf("%q: the JSON: %+v", test.args, d)
		}
	}
}

// read is a file's text.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		`"fan" isn't a command`:          {"fan"},
		`"fan" isn't a preset`:           {"run", "fan"},
		"-clints":                        {"run", "-clints", "3"},
		`"3": unexpected argument`:       {"run", "fanout", "3"},
		"clients 0":                      {"run", "-clients", "0"},
		"-server-cores":                  {"run", "-server-cores", "x"},
		"core 1023":                      {"run", "-server-cores", "0,1023"},
		"NAME=COMMAND":                   {"run", "-target", "="},
		"size: 8 bytes":                  {"run", "-size", "8"},
		"isn't SIZE or SIZE:WEIGHT":      {"run", "-size", "64:"},
		"-json /nowhere/x.json":          {"run", "-json", "/nowhere/x.json"},
		"-json -: a file":                {"run", "-json", "-"},
		"is a directory":                 {"run", "-html", os.TempDir()},
		"a file of its own":              {"run", "-json", "x", "-html", "x"},
		"doesn't get them":               {"run", "-target", "mine=true", "-args", "-loops 2"},
		"-sessions and -token":           {"run", "storm", "-sessions", "-token", "x"},
		"-rate is 50 here":               {"run", "mixed", "-window", "8"},
		"-messages and -duration":        {"run", "-messages", "8", "-duration", "1s"},
		`"x" is no share`:                {"run", "slow", "-stalled", "x"},
		"0 rounds":                       {"run", "slow", "-rounds", "0"},
		"bench/peers/build makes":        {"run", "-target", "raw", "-peers", "/nowhere/peers"},
		"has no server \"nosuch\", only": {"run", "-target", "nosuch", "-peers", peersOf(t, "raw")},
		"the base other":                 {"compare", "-targets", "busbar", "-base", "other"},
		"called busbar":                  {"compare", "-targets", "busbar,busbar"},
		"it needs both":                  {"compare", "-server", "true"},
		`its protocol is "mqtt"`:         {"compare", "-targets", "busbar", "-server", "true", "-address", "127.0.0.1:1", "-protocol", "mqtt"},
		`"": NAME, or NAME=COMMAND`:      {"compare", "-targets", "busbar,"},
		"-readme: main.go":               {"suite", "-readme", "main.go"},
		"NAME, or NAME=COMMAND":          {"suite", "-targets", ""},
	} {
		code, out, errs := try(t, args...)
		if code != exitUsage || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%q: exit %d, %q, printed %q; want a line with %q", args, code, errs, out, want)
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
	code := run(ctx, []string{"run", "-clients", "20"}, streams{&out, &errs})
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
	code, _, errs := try(t, "run", "-target", "mine=false", "-clients", "1", "-messages", "1")
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
	code, _, errs := try(t, "run", "idle", "-clients", "1", "-target", "mine="+self+" target -ping-interval 1ms")
	if code != exitFailure || !strings.Contains(errs, "ping interval") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"-help"}, {"run", "-help"}, {"run", "idle", "-h"}, {"compare", "--help"}, {"suite", "-help"}} {
		if code, out, errs := try(t, args...); code != exitOK || out == "" || errs != "" {
			t.Errorf("%q: exit %d, %d bytes of help, %q", args, code, len(out), errs)
		}
	}
}

// Nobody is there to call remove when a second Ctrl-C comes.
func TestSessionFileIsGoneAfterCtrlC(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file, token, remove, err := newSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if _, err := os.Stat(file); err != nil || token == "" {
		t.Fatalf("token %q, %v", token, err)
	}
	cancel()
	for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		if _, err := os.Stat(filepath.Dir(file)); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still there", filepath.Dir(file))
		}
	}
}

// suiteIn is a folder for a suite, with a README that has the markers.
func suiteIn(t *testing.T) (folder, readme string, args []string) {
	t.Helper()
	folder = t.TempDir()
	readme = filepath.Join(folder, "README.md")
	if err := os.WriteFile(readme, []byte("# Title\n\n"+bench.BeginMarker+"\nold\n"+bench.EndMarker+"\n\nThe rest.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return folder, readme, []string{
		"suite", "-clients", "10", "-connections", "20", "-rounds", "1", "-duration", "20ms", "-warm-up", "0", "-settle", "1ms",
		"-targets", "busbar,other=" + self + " target",
		"-out", filepath.Join(folder, "out"), "-docs", filepath.Join(folder, "docs"), "-readme", readme,
	}
}

func TestSuiteWritesWhatREADMEShows(t *testing.T) {
	t.Parallel()
	folder, readme, args := suiteIn(t)
	code, out, errs := try(t, args...)
	if code != exitOK || errs != "" {
		t.Fatalf("exit %d, %s\n%s", code, errs, out)
	}
	text := read(t, readme)
	for _, want := range []string{"# Title\n\n" + bench.BeginMarker, "| **busbar** | ", "| other | ", bench.EndMarker + "\n\nThe rest.\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") {
		t.Errorf("the old text is still in\n%s", text)
	}
	var d bench.Document
	if err := json.Unmarshal([]byte(read(t, filepath.Join(folder, "docs", "suite.json"))), &d); err != nil {
		t.Fatal(err)
	}
	if want := d.Markdown(); !strings.Contains(text, strings.TrimSpace(want)) {
		t.Errorf("the JSON gives another summary:\n%s\nthan\n%s", want, text)
	}
	read(t, filepath.Join(folder, "docs", "report.html"))
}

// What Ctrl-C ended is printed and kept, and isn't shown to others.
func TestInterruptedSuiteLeavesREADMEAlone(t *testing.T) {
	folder, readme, args := suiteIn(t)
	before := read(t, readme)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, args, streams{&out, &errs})
	if code != exitFailure || !strings.Contains(errs.String(), "it was interrupted") || !strings.Contains(out.String(), "not everything is there") {
		t.Errorf("exit %d, %s\n%s", code, errs.String(), out.String())
	}
	if after := read(t, readme); after != before {
		t.Errorf("README became\n%s", after)
	}
	if _, err := os.Stat(filepath.Join(folder, "docs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("docs were written: %v", err)
	}
	read(t, filepath.Join(folder, "out", "report.html"))
}
