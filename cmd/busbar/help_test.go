package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/busbar-ws/busbar/internal/cli"
)

var update = flag.Bool("update", false, "write golden files anew")

func serveHelp(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := helpFlags().WriteHelp(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// docs/flags.md and the help are made from the table of flags.
func TestHelpIsGolden(t *testing.T) {
	page := runCommand("", nil, "help", "-markdown")
	page.want(t, exitOK)
	for golden, got := range map[string]string{"testdata/help.golden": serveHelp(t), "../../docs/flags.md": page.out} {
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
}

func TestHelpOfNoCommand(t *testing.T) {
	runCommand("", nil, "help", "tial").want(t, exitUsage, `"tial" isn't a command; there are serve`, "tail")
}

func TestHelpNamesEveryFlagAndVariable(t *testing.T) {
	help := serveHelp(t)
	for _, s := range helpFlags().Flags {
		if !strings.Contains(help, "\n  -"+s.Name+" ") {
			t.Errorf("-%s isn't in the help", s.Name)
		}
		if s.Env != "" && !strings.Contains(help, " "+s.Env+"\n") {
			t.Errorf("%s isn't in the help", s.Env)
		}
		if s.Env == "" && s.Name != "version" {
			t.Errorf("-%s has no variable", s.Name)
		}
	}
}

func TestHelpFitsTheScreen(t *testing.T) {
	for line := range strings.Lines(serveHelp(t)) {
		line = strings.TrimSuffix(line, "\n")
		if n := utf8.RuneCountInString(line); n > cli.HelpWidth {
			t.Errorf("%d columns: %s", n, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("spaces at the end of %q", line)
		}
	}
}
