//go:build !race

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// A server that has nothing to do sleeps: without clients, and with some that are silent.
func TestIdleServerSleeps(t *testing.T) {
	for name, clients := range map[string]int{"no clients": 0, "silent clients": 20} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, "-loops", "2")
			token := d.session("alice")
			for range clients {
				d.connect(token)
			}
			// Each look of any timer's makes the Go runtime wake a dozen times. gnet's pool of workers looks at
			// the clock twice a second (ants v2.12.1, poolCommon.ticktock), and clients are looked at once. Ten
			// ticks a second were about 100 switches beside those; a busy machine may add some now and then,
			// and no server takes them away.
			const most, window = 80, 2 * time.Second
			least := 1 << 30
			for range 30 {
				before := d.switches()
				<-time.After(window)
				if least = min(least, (d.switches()-before)/int(window/time.Second)); least <= most {
					break
				}
			}
			t.Logf("%d voluntary switches a second", least)
			if least > most {
				t.Errorf("%d voluntary switches a second, want at most %d", least, most)
			}
		})
	}
}

var voluntary = regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s*(\d+)$`)

// switches is how often the server's threads have gone to sleep, which is as often as they have been woken.
func (d *daemon) switches() (sum int) {
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(d.cmd.Process.Pid) + "/task/*/status")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // a thread that has ended
		}
		if m := voluntary.FindSubmatch(text); m != nil {
			n, _ := strconv.Atoi(string(m[1]))
			sum += n
		}
	}
	return sum
}
