package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
)

// pages are those in docs/ whose names and commands are held against the program. security.md has tests of its own.
var pages = []string{"clients.md", "concepts.md", "deploy.md", "embedding.md", "migrating.md", "operations.md", "tuning.md"}

// docsPage is the text of a page in docs/.
func docsPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withDefault is a flag in backquotes, alone or with a value, and the default in parentheses behind it.
var withDefault = regexp.MustCompile("`-([a-z][a-z-]*)(?: [^`]*)?`(?:\\s+\\(([^)]*)\\))?")

// otherFlags are those of commands that aren't the server's.
var otherFlags = []string{"connections", "json", "fix-print"}

// The flags, defaults and metrics that a page names are the program's, and so are its links to other pages.
func TestPagesNameWhatExists(t *testing.T) {
	t.Parallel()
	p := openSecurityPage(t)
	settings := helpFlags().Flags
	for _, name := range pages {
		text := docsPage(t, name)
		for _, f := range withDefault.FindAllStringSubmatch(text, -1) {
			i := slices.IndexFunc(settings, func(s *cli.Flag) bool { return s.Name == f[1] })
			if i < 0 && !slices.Contains(otherFlags, f[1]) {
				t.Errorf("%s: there is no flag -%s", name, f[1])
			} else if i >= 0 && f[2] != "" && f[2] != settings[i].Default {
				t.Errorf("%s: the default of -%s is %s, not %s", name, f[1], settings[i].Default, f[2])
			}
		}
		for _, metric := range regexp.MustCompile(`busbar_[a-z_]+`).FindAllString(text, -1) {
			if !strings.Contains(p.names["metric"], `"`+metric+`"`) {
				t.Errorf("%s: there is no metric %s", name, metric)
			}
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			if link[1] == "" {
				link[1] = name
			}
			path := filepath.Join("../../docs", link[1])
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to what isn't there: %v", name, err)
			} else if link[2] != "" && !slices.Contains(anchors(t, path), link[2]) {
				t.Errorf("%s: %s has no heading %s", name, link[1], link[2])
			}
		}
	}
}

// docs/operations.md says what to do for each alert, in the order of the rules.
func TestEachAlertHasItsSection(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	names := func(pattern, text string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		return all
	}
	alerts := names(`(?m)^ +- alert: (\w+)$`, string(rules))
	if sections := names(`(?m)^### (Busbar\w+)$`, docsPage(t, "operations.md")); len(alerts) == 0 || !slices.Equal(sections, alerts) {
		t.Errorf("sections for %q, and alerts %q", sections, alerts)
	}
}

// anchors are what a page's headings are linked to by.
func anchors(t *testing.T, path string) (all []string) {
	t.Helper()
	markdown, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(markdown), -1) {
		plain := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, "#"+strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}
