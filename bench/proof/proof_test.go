package proof

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// program is the daemon, built for these tests.
var program string

// helperWord stands in front of what RunHelper is to do.
const helperWord = "helper-of-chaos"

// TestMain is two programs: the tests, and the helpers that chaos starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == helperWord {
		if err := RunHelper(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	folder, err := os.MkdirTemp("", "busbar-proof-test")
	if err == nil {
		program, err = wstest.BuildDaemon(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	leaks.MainThen(m, func() { os.RemoveAll(folder) })
}

// make chaos, in small: of nodes only one is killed, once.
func TestChaos(t *testing.T) {
	for _, s := range scenarios {
		o := ChaosOptions{
			Program: []string{program}, Self: []string{os.Args[0], helperWord}, Only: []string{s.name},
			Clients: 10, Rounds: 2, Load: 500 * time.Millisecond, Pause: 12 * time.Second,
		}
		if slices.ContainsFunc(clusterScenarios(), func(c scenario) bool { return c.name == s.name }) {
			if s.name != "cluster-kill" {
				continue
			}
			o.Clients, o.Rounds, o.Rate, o.Events, o.Pause = 6, 1, 100, 500, 3*time.Second
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r, err := Chaos(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			var table bytes.Buffer
			if err := r.WriteTable(&table); err != nil {
				t.Fatal(err)
			}
			t.Log(table.String())
			if noDisk := s.name == "power" && r.Records[0].Absent != ""; r.Failed != "" && !noDisk {
				t.Error(r.Failed)
			}
		})
	}
}
