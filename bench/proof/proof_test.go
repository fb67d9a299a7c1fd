package proof

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// program is the daemon, built for these tests.
var program string

func TestMain(m *testing.M) {
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
		o := Options{
			Program: program, Only: []string{s.name}, Clients: 6, Rounds: 2, Rate: 200,
			Load: 300 * time.Millisecond, Pause: 6 * time.Second, Bound: 5 * time.Second,
		}
		if s.layout.nodes > 1 {
			if s.name != "cluster-kill" {
				continue
			}
			o.Rounds, o.Rate, o.Events, o.Pause = 1, 100, 500, 3*time.Second
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
			if noDisk := s.name == "power" && r.Runs[0].Absent != ""; r.Failed != "" && !noDisk {
				t.Error(r.Failed)
			}
		})
	}
}
