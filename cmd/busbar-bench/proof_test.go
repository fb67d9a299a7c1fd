package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/proof"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func builtDaemon(t *testing.T) string {
	t.Helper()
	program, err := wstest.BuildDaemon(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestProofsPrintATableAndWriteJSON(t *testing.T) {
	t.Parallel()
	program := builtDaemon(t)
	path := filepath.Join(t.TempDir(), "result.json")
	// make soak, in small
	code, out, errs := try(t, "soak", "-busbar", program, "-duration", "5s", "-clients", "12", "-storm", "20", "-rate", "10", "-json", path)
	if code != exitOK || errs != "" || !strings.Contains(out, "all is back at the start") || !strings.Contains(out, "subscriptions") {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
	var soaked struct{ Result proof.Result }
	if err := json.Unmarshal([]byte(read(t, path)), &soaked); err != nil || len(soaked.Result.Runs) != 2 || len(soaked.Result.Runs[0].Samples) < 2 { // at the start and the end, others as time allows
		t.Errorf("the JSON: %+v, %v", soaked, err)
	}
	code, out, errs = try(t, "chaos", "-busbar", program, "-only", "port", "-clients", "3", "-rate", "100", "-load", "100ms", "-json", path)
	if code != exitOK || errs != "" || !strings.Contains(out, "port: held") {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
	var record struct{ Result proof.Result }
	if err := json.Unmarshal([]byte(read(t, path)), &record); err != nil || len(record.Result.Runs) != 1 {
		t.Errorf("the JSON: %+v, %v", record, err)
	}
}

// Every client that loses the daemon comes back, and has each change once and in order.
func TestRecovery(t *testing.T) {
	t.Parallel()
	program := builtDaemon(t)
	path := filepath.Join(t.TempDir(), "result.json")
	code, out, errs := try(t, "recovery", "-busbar", program, "-clients", "5, 40", "-rate", "100", "-steady", "200ms", "-return", "1000", "-json", path)
	if code != exitOK || errs != "" {
		t.Fatalf("exit %d, %s\n%s", code, errs, out)
	}
	var d bench.Document
	if err := json.Unmarshal([]byte(read(t, path)), &d); err != nil || len(d.Sections) != 1 || len(d.Sections[0].Results) != 2 {
		t.Fatalf("the JSON: %+v, %v", d, err)
	}
	for i, clients := range []int{5, 40} {
		r := d.Sections[0].Results[i]
		ready, back, exact := r.Figure("until_ready").Median, r.Figure("until_all_are_back").Median, r.Figure("until_all_are_exact").Median
		if r.Profile.Clients != clients || !(0 < ready && ready < back && back <= exact) {
			t.Errorf("%d clients: %+v", clients, r)
		}
	}
}

// A daemon that doesn't hold is a failure: here it is one that doesn't exist.
func TestProofOfADaemonThatEnds(t *testing.T) {
	for _, command := range []string{"soak", "chaos", "recovery"} {
		code, _, errs := try(t, command, "-busbar", "false")
		if code != exitFailure || !strings.Contains(errs, "starting busbar") {
			t.Errorf("%s: exit %d, %q", command, code, errs)
		}
	}
}

func TestMistakesOfProofs(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"recovery", "-busbar", self, "-clients", "5,x"}, `"x" is no number`},
		{[]string{"recovery", "-busbar", self, "-rate", "0"}, "0 changes"},
		{[]string{"soak", "-busbar", "/nowhere/busbar"}, "-busbar /nowhere/busbar"},
		{[]string{"soak", "-busbar", self, "-slow", "never"}, `policy "never"`},
		{[]string{"soak", "-busbar", self, "-rate", "-1"}, "-1 messages a second"},
		{[]string{"soak", "-busbar", self, "-clients", "-1"}, "-1 clients"},
		{[]string{"soak", "-busbar", self, "more"}, "unexpected argument"},
		{[]string{"chaos", "-busbar", self, "-only", "flood"}, `"flood" is no scenario`},
		{[]string{"chaos", "-busbar", self, "-rounds", "-1"}, "-1 rounds"},
		{[]string{"chaos", "-busbar", self, "-json", "/nowhere/x.json"}, "-json /nowhere/x.json"},
	} {
		code, out, errs := try(t, test.args...)
		if code != exitUsage || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%q: exit %d, %q, printed %q; want a line with %q", test.args, code, errs, out, test.want)
		}
	}
}
