package main

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
)

var (
	quoted     = regexp.MustCompile("`([^`]+)`")
	testName   = regexp.MustCompile(`^(?:([a-z/]+)\.)?((?:Test|Fuzz)[A-Z]\w*)$`)
	flagName   = regexp.MustCompile("`-([a-z][a-z-]*)`(?:\\s+\\(([^)]*)\\))?")
	metricName = regexp.MustCompile(`^busbar_\w+$`)
	causeName  = regexp.MustCompile(`^[a-z_]+$`)
)

// securityPage is docs/security.md, and what it says is held against.
type securityPage struct {
	t      *testing.T
	text   string
	names  map[string]string // of closing causes and metrics: the sources that have them
	source map[string]string // of a directory: its tests
}

func openSecurityPage(t *testing.T) *securityPage {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &securityPage{t: t, text: string(text), source: make(map[string]string)}
	p.names = map[string]string{
		"metric": p.read("../../hub/metrics/*.go") + p.read("../../hub/httpapi/*.go"),
		"cause":  p.read("../../eventloop/cause.go"),
	}
	return p
}

func (p *securityPage) read(pattern string) string {
	files, _ := filepath.Glob(pattern)
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			p.t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// has is whether a directory's tests have one of that name.
func (p *securityPage) has(dir, test string) bool {
	text, ok := p.source[dir]
	if !ok {
		text = p.read(filepath.Join("../..", dir, "*_test.go"))
		p.source[dir] = text
	}
	return strings.Contains(text, "\nfunc "+test+"(")
}

// What docs/security.md promises is shown by tests that exist, and bounded by flags that
// have these defaults.
func TestSecurityPageIsTrue(t *testing.T) {
	p := openSecurityPage(t)
	tests, dir := 0, "" // dir is that of the test before, which one without a directory shares
	for _, q := range quoted.FindAllStringSubmatch(p.text, -1) {
		switch name := testName.FindStringSubmatch(q[1]); {
		case name != nil:
			dir = cmp.Or(name[1], dir)
			if tests++; !p.has(dir, name[2]) {
				t.Errorf("%s: there is no such test", q[1])
			}
		case strings.HasPrefix(q[1], "-") && !flagName.MatchString(q[0]):
			t.Errorf("%s: write the name of a flag alone", q[1])
		case metricName.MatchString(q[1]) && !strings.Contains(p.names["metric"], `"`+q[1]+`"`):
			t.Errorf("%s: there is no such metric", q[1])
		}
	}
	if tests < 50 {
		t.Errorf("%d tests are named; the page can't have been understood", tests)
	}
	settings := helpFlags().Flags
	for _, f := range flagName.FindAllStringSubmatch(p.text, -1) {
		i := slices.IndexFunc(settings, func(s *cli.Flag) bool { return s.Name == f[1] })
		if i < 0 {
			t.Errorf("-%s: there is no such flag", f[1])
		} else if f[2] != "" && f[2] != settings[i].Default {
			t.Errorf("-%s: the default is %s, not %s", f[1], settings[i].Default, f[2])
		}
	}
}

// shownBy is a section's list of tests: for each row of its table the row's number and tests.
var shownBy = regexp.MustCompile(`(?s)\nTests: (.*?)\.\n`)

// Its tables' rows are numbered, and have a cause or metric in the column "counted as". Below the table are the tests
// of each.
func TestSecurityPageShowsEverything(t *testing.T) {
	p := openSecurityPage(t)
	for _, section := range strings.Split(p.text, "\n## ")[1:] {
		title, _, _ := strings.Cut(section, "\n")
		rows := p.checkRows(section)
		var lists []string
		if found := shownBy.FindStringSubmatch(section); found != nil {
			lists = strings.Split(found[1], ";")
		}
		if len(lists) != rows {
			t.Errorf("%s: the table has %d rows, and tests for %d are below it", title, rows, len(lists))
		}
		for i, list := range lists {
			number, tests, _ := strings.Cut(list, ":")
			shown := quoted.FindAllStringSubmatch(tests, -1)
			if strings.TrimSpace(number) != strconv.Itoa(i+1) {
				t.Errorf("%s: the tests of row %d have another number: %s", title, i+1, list)
			}
			if len(shown) == 0 || slices.ContainsFunc(shown, func(q []string) bool { return testName.FindString(q[1]) == "" }) {
				t.Errorf("%s: no test, or something else, shows row %d", title, i+1)
			}
		}
	}
}

// checkRows holds a section's table against the sources, and returns how many rows it has.
func (p *securityPage) checkRows(section string) (rows int) {
	p.t.Helper()
	counted := -1 // its column
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"), strings.HasPrefix(line, "| ---"):
			continue
		case strings.HasPrefix(line, "| # |"):
			counted = slices.IndexFunc(cells, func(c string) bool { return strings.TrimSpace(c) == "counted as" })
			continue
		}
		if rows++; strings.TrimSpace(cells[0]) != strconv.Itoa(rows) {
			p.t.Errorf("row %d has another number: %s", rows, line)
		}
		if counted < 0 {
			continue
		}
		for _, q := range quoted.FindAllStringSubmatch(cells[counted], -1) {
			if causeName.MatchString(q[1]) && !metricName.MatchString(q[1]) && !strings.Contains(p.names["cause"], `"`+q[1]+`"`) {
				p.t.Errorf("%s: there is no such cause", q[1])
			}
		}
	}
	return rows
}
