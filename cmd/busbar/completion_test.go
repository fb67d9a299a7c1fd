//go:build !race && !racedaemon

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The man page has every command and every flag.
func TestManPage(t *testing.T) {
	o := runCommand("", nil, "help", "-man")
	o.want(t, exitOK)
	page := strings.ReplaceAll(o.out, `\-`, "-")
	known := make(map[string]bool)
	for _, table := range allTables() {
		known[table.Command] = true
		if table.Command != "busbar" && !strings.Contains(page, "\n.SS "+table.Command+"\n") {
			t.Errorf("the page lacks %s", table.Command)
		}
		for _, f := range table.Flags {
			if !strings.Contains(page, "\n.TP\n\\fB-"+f.Name+"\\fR") {
				t.Errorf("the page lacks -%s of %s", f.Name, table.Command)
			}
		}
	}
	for name := range commands {
		if !known["busbar "+name] {
			t.Errorf("there is no table of busbar %s", name)
		}
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !strings.Contains(" .TH .SH .SS .PP .TP .nf .fi .nh .ad ", " "+strings.Fields(line)[0]+" ") {
			t.Errorf("a line of text is taken for a request: %s", line)
		}
	}
}

// What bash offers when a person presses Tab at the end of a line.
func TestBashCompletes(t *testing.T) {
	o := runCommand("", nil, "help", "-completion", "bash")
	o.want(t, exitOK)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "completion"), []byte(o.out), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `. ./completion || exit 1
while IFS= read -r line; do
	IFS=' ' read -ra COMP_WORDS <<<"$line."
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMP_WORDS[COMP_CWORD]=${COMP_WORDS[COMP_CWORD]%.}
	_busbar 2>/dev/null
	echo "${COMPREPLY[*]}"
done`
	tests := [][2]string{
		{"busbar se", "serve session"}, {"busbar session ", "create list revoke"}, {"busbar session cr", "create"},
		{"busbar session create -ten", "-tenant"}, {"busbar -auth ", "sessions jwt http none"}, {"busbar serve -auth j", "jwt"},
		{"busbar doctor -slo", "-slow"}, {"busbar doctor -connec", "-connections"}, {"busbar tail -max-per", ""},
		{"busbar -listen :4000 -log d", "disk"}, {"busbar publish change -kind ", "insert update delete"}, {"busbar log copy -log-ev", "-log-events"},
		{"busbar help -completion ", "bash zsh fish"}, {"busbar -config comp", "completion"}, {"busbar health -rea", "-ready"},
	}
	var lines []string
	for _, test := range tests {
		lines = append(lines, test[0])
	}
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(strings.Join(lines, "\n")+"\n")
	out, err := cmd.CombinedOutput()
	offered := strings.Split(string(out), "\n")
	if err != nil || len(offered) != len(tests)+1 {
		t.Fatalf("bash: %v\n%s", err, out)
	}
	for i, test := range tests {
		if got, want := strings.Fields(offered[i]), strings.Fields(test[1]); !slices.Equal(got, want) {
			t.Errorf("%s: offers %q, not %q", test[0], got, want)
		}
	}
}
