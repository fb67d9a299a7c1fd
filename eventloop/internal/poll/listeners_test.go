package poll

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseWatched(t *testing.T) {
	for line, want := range map[string]watched{
		"tfd:        5 events:       1d data: ffffffffffffffff pos:0 ino:61af sdev:7": {5, 0x1d, 1<<64 - 1},
		"tfd: 12 events: 8000001b data: c00012":                                       {12, 0x8000001b, 0xc00012},
	} {
		if got, ok := parseWatched(line); !ok || got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "pos:	0", "flags:	02000002", "tfd: x events: 1 data: 1", "tfd: 1 events: 1", "tfd: 1 events: 100000000 data: 1"} {
		if got, ok := parseWatched(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

// What the kernel prints is what it was given.
func TestWatchedByKernel(t *testing.T) {
	w, err := newWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	all := watchedBy(w.epoll)
	if len(all) != 1 || all[0].fd != w.stop || all[0].events&unix.EPOLLIN == 0 {
		t.Fatalf("%+v", all)
	}
	g := newAcceptPause(w.epoll, w.stop, all[0].events, all[0].data)
	if g.event.Fd != -1 || g.event.Pad != 0 { // newWatcher's
		t.Errorf("data %x became %+v", all[0].data, g.event)
	}
}
