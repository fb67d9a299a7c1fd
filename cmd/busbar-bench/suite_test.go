package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/report"
)

// suiteFiles is a folder for a suite, with a README that has the markers.
func suiteFiles(t *testing.T) (folder, readme string, args []string) {
	t.Helper()
	folder = t.TempDir()
	readme = filepath.Join(folder, "README.md")
	if err := os.WriteFile(readme, []byte("# Title\n\n"+report.BeginMarker+"\nold\n"+report.EndMarker+"\n\nThe rest.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return folder, readme, []string{
		"suite", "-clients", "10", "-connections", "20", "-rounds", "1", "-duration", "20ms", "-warm-up", "0", "-settle", "1ms",
		"-targets", "busbar,other=" + self + " target", "-slow-targets", "",
		"-out", filepath.Join(folder, "out"), "-docs", filepath.Join(folder, "docs"), "-readme", readme,
	}
}

func TestSuiteWritesWhatREADMEShows(t *testing.T) {
	t.Parallel()
	folder, readme, args := suiteFiles(t)
	code, out, errs := try(t, args...)
	if code != exitOK || errs != "" || !strings.HasPrefix(out, "This takes about ") {
		t.Fatalf("exit %d, %s\n%s", code, errs, out)
	}
	text := read(t, readme)
	for _, want := range []string{"# Title\n\n" + report.BeginMarker, "(docs/one-at-a-time.svg)", "| **busbar** | ", "| other | ", report.EndMarker + "\n\nThe rest.\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") {
		t.Errorf("the old text is still in\n%s", text)
	}
	for _, name := range []string{"one-at-a-time.svg", "in-flight.svg", "memory.svg", "handshakes.svg"} {
		svg := read(t, filepath.Join(folder, "docs", name))
		checkXML(t, svg)
		if n := strings.Count(svg, `<rect class="bar`); n != 2 {
			t.Errorf("%s: %d bars for two servers", name, n)
		}
	}
	var document bench.Suite
	if err := json.Unmarshal([]byte(read(t, filepath.Join(folder, "docs", "suite.json"))), &document); err != nil {
		t.Fatal(err)
	}
	if document.Own != "busbar" || len(document.Single.Rounds) != 1 || !strings.HasPrefix(document.Command, "busbar-bench suite -clients 10") {
		t.Errorf("the JSON: %+v", document)
	}
	checkXML(t, read(t, filepath.Join(folder, "out", "report.html")))
	if want := document.Markdown("docs"); !strings.Contains(text, strings.TrimSpace(want)) {
		t.Errorf("the JSON gives another summary:\n%s\nthan\n%s", want, text)
	}
}

// What Ctrl-C ended is printed and kept, and isn't shown to others.
func TestInterruptedSuiteLeavesREADMEAlone(t *testing.T) {
	folder, readme, args := suiteFiles(t)
	before := read(t, readme)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, args, streams{strings.NewReader(""), &out, &errs})
	if code != exitFailure || !strings.Contains(errs.String(), "it was interrupted") || !strings.Contains(out.String(), "not everything is there") {
		t.Errorf("exit %d, %s\n%s", code, errs.String(), out.String())
	}
	if after := read(t, readme); after != before {
		t.Errorf("README became\n%s", after)
	}
	if _, err := os.Stat(filepath.Join(folder, "docs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("docs were written: %v", err)
	}
	checkXML(t, read(t, filepath.Join(folder, "out", "report.html")))
}

func TestMistakesOfASuite(t *testing.T) {
	all := peersOf(t, "raw raw-batch nbio gws gorilla centrifuge coder seedlike")
	for want, args := range map[string][]string{
		"needs -docs":         {"-readme", "README.md"},
		"-readme: main.go":    {"-readme", "main.go", "-docs", "docs"},
		"it would take about": {"-within", "10s", "-peers", all},
		"without a name":      {"-targets", ""},
	} {
		code, out, errs := try(t, append([]string{"suite"}, args...)...)
		if code != exitUsage || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%q: exit %d, %q, printed %q; want a line with %q", args, code, errs, out, want)
		}
	}
}
