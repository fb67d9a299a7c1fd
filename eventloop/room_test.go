package eventloop

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// figures are what file-nr says.
func figures(t *fileTable, used, most uint64) {
	t.read = func(p []byte) (int, error) { return copy(p, fmt.Sprintf("%d\t0\t%d\n", used, most)), nil }
}

func TestFileTable(t *testing.T) {
	const most = 1_000_000
	left := margin(most, runtime.NumCPU())
	var table fileTable
	for _, c := range []struct {
		used          uint64
		waiting, full bool
	}{
		{0, false, false}, {most - left, false, false}, {most - left + 1, false, true}, {most + 5, false, true},
		{most - left, true, true}, {most - left - left/2, true, false},
	} {
		figures(&table, c.used, most)
		if used, all, ok := table.count(); used != c.used || all != most || !ok {
			t.Errorf("read %d, %d, %v", used, all, ok)
		}
		if got := table.full(c.waiting); got != c.full {
			t.Errorf("%d used of %d, waiting %v: full is %v", c.used, most, c.waiting, got)
		}
	}
	for _, bad := range []string{"", "\n", "12", "1 2", "x 0 y", "1 0 0\n"} {
		table.read = func(p []byte) (int, error) { return copy(p, bad), nil }
		if _, _, ok := table.count(); ok || table.full(false) {
			t.Errorf("%q is taken for figures", bad)
		}
	}
	table.read = func([]byte) (int, error) { return 0, os.ErrPermission }
	if table.full(true) {
		t.Error("what can't be read is full")
	}
}

func TestMargin(t *testing.T) {
	for _, c := range []struct {
		most uint64
		cpus int
		want uint64
	}{{8192, 1, 192}, {2_500_000, 2, 39190}, {2_500_000, 128, 104598}, {1000, 8, 125}} {
		if got := margin(c.most, c.cpus); got != c.want {
			t.Errorf("of %d with %d CPUs: %d, want %d", c.most, c.cpus, got, c.want)
		}
	}
}

// The host has a file table, and the engine can read how full it is.
func TestHostsFileTable(t *testing.T) {
	var table fileTable
	table.open()
	defer table.close()
	if used, most, ok := table.count(); !ok || used == 0 || most < used {
		t.Errorf("%d of %d, %v", used, most, ok)
	}
}

// While the host's file table is nearly full newcomers wait, and nobody else notices.
func TestNewcomersWaitWhileTheFileTableIsFull(t *testing.T) {
	t.Parallel()
	o := Options{Listen: "127.0.0.1:0", Loops: 2, MaxPerAddress: -1, Reserve: 32}
	e, err := New(&host{}, o)
	must(t, err)
	var used atomic.Uint64
	const most = 100_000
	e.room.files.read = func(p []byte) (int, error) { return copy(p, fmt.Sprintf("%d\t0\t%d\n", used.Load(), most)), nil }
	must(t, e.Start())
	t.Cleanup(e.Stop)
	in := dial(t, e, "")
	for range 2 {
		used.Store(most)
		eventually(t, "the gates are shut", func() bool { return e.room.out.Load() })
		late := connect(t, e)
		late.Say(request(""))
		lookAround(t, e)
		e.Publish(text("full"), nil)
		in.Expect(1, "full")
		if n := e.Clients(); n != 1 {
			t.Errorf("%d clients", n)
		}
		used.Store(0)
		late.Upgraded()
		late.Close()
		eventually(t, "it has gone", func() bool { return e.Connections() == 1 })
	}
	if s := e.Stats(); s.AcceptErrors != 0 || s.GateShuts["room"] != 4 {
		t.Errorf("%d accepts failed, gates were shut: %v", s.AcceptErrors, s.GateShuts)
	}
}

// However often room comes and goes, it is logged once in a while.
func TestLackOfRoomIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	e, err := New(&host{}, Options{Listen: "127.0.0.1:0", Loops: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	figures(&e.room.files, 0, 1000)
	for range 5 {
		e.failedAccept([]any{unix.ENOBUFS})
		if !e.room.out.Load() {
			t.Fatal("the gates aren't shut")
		}
		if e.checkRoom(); e.room.out.Load() {
			t.Fatal("the gates aren't opened")
		}
	}
	e.failedAccept([]any{unix.EPERM}) // was that one connection's
	if e.room.out.Load() || e.Stats().AcceptErrors != 6 {
		t.Errorf("out of room: %v, %d accepts failed", e.room.out.Load(), e.Stats().AcceptErrors)
	}
	if warned, again := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO"); warned != 1 || again != 1 {
		t.Errorf("logged:\n%s", log.String())
	}
}

// However often room comes and goes, there is one look for it in a tick while there is no client.
func TestOneLookForRoomInATick(t *testing.T) {
	t.Parallel()
	e := start(t, &host{})
	looks := 0 // guarded by room.mu
	e.room.mu.Lock()
	e.room.files.read = func(p []byte) (int, error) { looks++; return copy(p, "100 0 100\n"), nil }
	e.room.mu.Unlock()
	began := time.Now()
	for range 100 {
		e.outOfRoom("a test")
		e.room.out.Store(false)
	}
	e.outOfRoom("a test")
	eventually(t, "there are looks", func() bool {
		e.room.mu.Lock()
		defer e.room.mu.Unlock()
		if most := int(time.Since(began) / tick); looks > most {
			t.Fatalf("%d looks in %d ticks", looks, most)
		}
		return looks > 2
	})
}
