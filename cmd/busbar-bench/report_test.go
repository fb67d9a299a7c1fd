package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
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

// checkReport looks at what -html has written for a command.
func checkReport(t *testing.T, path, command string, charts int, wanted []string) {
	t.Helper()
	text := read(t, path)
	checkXML(t, text)
	if n := strings.Count(text, "<svg"); n != charts {
		t.Errorf("%d charts, want %d", n, charts)
	}
	machine := bench.ThisMachine()
	for _, want := range append(wanted, "busbar-bench "+command+" ", machine.Kernel, machine.Go, "GiB") {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
}
