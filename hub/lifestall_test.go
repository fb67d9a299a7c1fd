package hub

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// Stalls are operations too: a guest that doesn't read is owed what others get, and has it all
// when it reads on. The bulk is what fills its socket.

const (
	bulkSize = 256 << 10 // bytes of a message that fills sockets
	maxBulks = 48        // of a life
)

// reading has a guest read on: what it does itself it couldn't see the answers of.
func (l *life) reading(g *guest) {
	if g.stalled {
		g.stalled = false
		<-g.gate
	}
}

func (l *life) stall(g *guest, _ int) {
	if g.listener == nil || g.stalled {
		return
	}
	g.stalled = true
	g.gate <- struct{}{}
}

func (l *life) resume(g *guest, _ int) {
	if g.listener == nil {
		return
	}
	l.reading(g)
	l.check(g)
}

func (l *life) publishBulk(_ *guest, _ int) {
	if l.bulks++; l.bulks > maxBulks {
		return
	}
	payload := fmt.Sprintf("bulk %s %s", l.fresh(), strings.Repeat("x", bulkSize))
	if err := l.h.BroadcastBinary([]byte(payload)); err != nil {
		l.t.Fatal(err)
	}
	l.owe(fmt.Sprintf("binary %q", payload), everyGuest)
}

// large is a payload of which a few are enough for a lagging client to be sent newer ones instead.
func (l *life) large() string { return l.fresh() + strings.Repeat("y", 5000) }

// vanish leaves with all that it is owed unread: the kernel answers what comes with RST.
func (l *life) vanish(g *guest, _ int) {
	if g.listener == nil {
		return
	}
	l.away(g, func() { _ = g.CloseNow() })
}

// revokeStalled ends a guest that doesn't read. The Close comes behind what it is owed.
func (l *life) revokeStalled(g *guest, n int) {
	l.stall(g, n)
	if g.listener == nil {
		return
	}
	l.h.CloseIdentity(isUser(g.user), "revoked")
	l.reading(g)
	l.check(g)
	if code, _ := g.ended(); code != websocket.StatusPolicyViolation {
		l.t.Fatalf("closed with %d", code)
	}
	l.away(g, nil)
}

// openFiles counts this process's descriptors.
func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// nothingLeft waits until the hub holds nothing for anybody, and the process no socket more than
// before.
func nothingLeft(t testing.TB, h *Hub, files int) {
	t.Helper()
	left := ""
	if !comesTrue(func() bool {
		s := h.Stats()
		queued := 0
		for _, loop := range s.Loops {
			queued += loop.QueueFrames + loop.QueueBytes
		}
		left = fmt.Sprintf("%d connections, %d lagging, %d subscriptions, %d in queues, %d descriptors (%d before), %d panics",
			s.Connections, s.Lagging, s.Subscriptions, queued, openFiles(t), files, s.Panics)
		return s.Connections+s.Lagging+s.Subscriptions+queued == 0 && openFiles(t) <= files && s.Panics == 0
	}) {
		t.Fatalf("left behind: %s", left)
	}
}
