package eventloop

import (
	"testing"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
)

// What a client sends before it is accepted counts at least for its length, and not for
// much more.
func TestUpgradeBytes(t *testing.T) {
	if n := upgradeBytes(upgrading(0, 0)); n != 0 {
		t.Errorf("nothing takes %d bytes", n)
	}
	for _, n := range []int{1, 500, 1023, 1024, 5000, 16 << 10, 64 << 10} {
		if got := upgradeBytes(upgrading(0, n)); got < int64(n) || got > int64(4*n+1024+4) {
			t.Errorf("%d bytes with gnet count as %d", n, got)
		}
		if got := upgradeBytes(upgrading(n, 0)); got < int64(n) || got > int64(n+1024) {
			t.Errorf("a head of %d bytes counts as %d", n, got)
		}
	}
}

// The broadcast log is kept for those who are still to get something of it: not for who is at its end,
// isn't behind, or is sent a Close and no more.
func TestWhoKeepsTheLog(t *testing.T) {
	l := &Loop{}
	waiting := func(stop uint64, part bool) *delivery.SendQueue {
		o := &delivery.SendQueue{Lag: delivery.Lag{Waiting: true}}
		if o.StopAt(stop); part {
			o.Continue(text("part"), 1)
		}
		return o
	}
	for range 4 {
		l.broadcasts.Append(FrameOf(make([]byte, 100)))
	}
	for name, test := range map[string]struct {
		c     Client
		from  uint64
		keeps bool
	}{
		"behind":            {Client{pos: 1, queue: waiting(4, false)}, 1, true},
		"with its own part": {Client{pos: 2, queue: waiting(4, true)}, 2, true},
		"pinned":            {Client{pos: 3, flags: flagReplaying | flagPinned}, 3, true},
		"not behind":        {Client{pos: 1}, 0, false},
		"catching up":       {Client{pos: 1, flags: flagReplaying, queue: waiting(0, false)}, 0, false},
		"given up":          {Client{pos: 1, state: closing, queue: waiting(0, false)}, 0, false},
	} {
		test.c.loop = l
		if from, keeps := test.c.keeps(); from != test.from || keeps != test.keeps {
			t.Errorf("%s: kept from %d, %v; want %d, %v", name, from, keeps, test.from, test.keeps)
		}
	}
	l.behind.laggards = []*Client{{pos: 3, loop: l, queue: waiting(4, false)}, {pos: 2, loop: l, queue: waiting(4, false)},
		{pos: 0, loop: l, state: closing, queue: waiting(0, false)}}
	if at := l.slowest(); at != 2 {
		t.Errorf("the slowest stands at %d, want 2", at)
	}
	l.broadcasts.DropBefore(2)
	if l.broadcasts.First() != 2 || l.broadcasts.Bytes() != 200 {
		t.Errorf("the broadcast log begins at %d with %d bytes", l.broadcasts.First(), l.broadcasts.Bytes())
	}
}
