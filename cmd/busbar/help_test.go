package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write golden files anew")

func serveHelp(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := writeServeHelp(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHelpIsGolden(t *testing.T) {
	const golden = "testdata/help.golden"
	got := serveHelp(t)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("help differs from %s; if it should, run go test ./cmd/busbar -update. It is now:\n%s", golden, got)
	}
}

func TestHelpNamesEveryFlagAndVariable(t *testing.T) {
	help := serveHelp(t)
	for _, s := range newServeFlags(new(Config)).settings {
		if !strings.Contains(help, "\n  -"+s.name+" ") {
			t.Errorf("-%s isn't in the help", s.name)
		}
		if s.env != "" && !strings.Contains(help, " "+s.env+"\n") {
			t.Errorf("%s isn't in the help", s.env)
		}
		if s.env == "" && s.name != "version" {
			t.Errorf("-%s has no variable", s.name)
		}
	}
}

func TestHelpFitsTheScreen(t *testing.T) {
	for line := range strings.Lines(serveHelp(t)) {
		line = strings.TrimSuffix(line, "\n")
		if n := utf8.RuneCountInString(line); n > helpWidth {
			t.Errorf("%d columns: %s", n, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("spaces at the end of %q", line)
		}
	}
}
