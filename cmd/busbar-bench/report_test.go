package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/bench"
)

// read is a file's text.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkXML fails unless the text is well-formed and asks for nothing from elsewhere.
func checkXML(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
	if rest := strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""); strings.Contains(rest, "://") || strings.Contains(rest, "<script") {
		t.Errorf("it isn't self-contained:\n%s", text)
	}
}

func TestReportsOfEveryScenario(t *testing.T) {
	few := []string{"-clients", "20", "-workers", "1", "-server-cores", "0"}
	messages := []string{"-messages", "20", "-warm-up", "0"}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		args   []string
		charts int
		want   []string
	}{
		{"fanout", messages, 2, []string{"Latency of delivery", "CPU per delivery", "sends per delivery"}},
		{"idle", []string{"-settle", "1ms"}, 1, []string{"Memory per idle connection", "resident before"}},
		{"storm", nil, 2, []string{"Latency of connecting", "CPU per handshake"}},
		{"loops", []string{"-rounds", "1", "-messages", "3"}, 1, []string{"divided by those of loops-1", ">loops-2<"}},
		{
			"compare", append([]string{"-rounds", "2", "-targets", "busbar,other=" + self + " target", "-base", "busbar"}, messages...), 3,
			[]string{"divided by that of busbar", ">other<", "<th>p99</th>"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "report.html")
			args := append(append(append([]string{test.name}, few...), test.args...), "-html", path)
			if code, _, errs := try(t, args...); code != exitOK {
				t.Fatalf("exit %d, %s", code, errs)
			}
			text := read(t, path)
			checkXML(t, text)
			if n := strings.Count(text, "<svg"); n != test.charts {
				t.Errorf("%d charts, want %d", n, test.charts)
			}
			machine := bench.ThisMachine()
			for _, want := range append(test.want, "busbar-bench "+test.name+" -clients 20", machine.Kernel, machine.Go, "GiB") {
				if !strings.Contains(text, want) {
					t.Errorf("%q isn't in\n%s", want, text)
				}
			}
		})
	}
}
