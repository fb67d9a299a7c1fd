//go:build !race && !racedaemon

package main

import (
	"cmp"
	"os"
	"regexp"
	"slices"
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
			// gnet's pool of workers looks at the clock twice a second (ants v2.12.1, poolCommon.ticktock), nats-server's
			// package pse at the CPU time once, linked whether or not it is used, and each loop at its clients once: 20 to 30
			// switches with the two loops' clients. Ten ticks a second make more than 50; a busy machine may add
			// some now and then, and no server takes them away.
			const most, window = 36, 2 * time.Second
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

// switches is how often the server's threads have gone to sleep, which is as often as they have been woken,
// without the Go runtime's own watcher (sysmon, the first that it starts), which sleeps up to a hundred times after
// each of them.
func (d *daemon) switches() (sum int) {
	process := "/proc/" + strconv.Itoa(d.cmd.Process.Pid) + "/task/"
	threads, _ := os.ReadDir(process)
	slices.SortFunc(threads, func(a, b os.DirEntry) int {
		return cmp.Or(cmp.Compare(len(a.Name()), len(b.Name())), cmp.Compare(a.Name(), b.Name()))
	})
	for i, thread := range threads {
		text, err := os.ReadFile(process + thread.Name() + "/status")
		if i == 1 || err != nil {
			continue // sysmon, or a thread that has ended
		}
		if m := voluntary.FindSubmatch(text); m != nil {
			n, _ := strconv.Atoi(string(m[1]))
			sum += n
		}
	}
	return sum
}
