package hub

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
)

// leaveInterval is how long leaves are collected for. A hundred thousand clients that go
// at once would otherwise be as many messages to each of those that stay.
const leaveInterval = 50 * time.Millisecond

// leavesPerMessage bounds one message to some 40 KiB.
const leavesPerMessage = 4096

// leaves merges the clients that have left into few messages. Safe from any goroutine.
type leaves struct {
	hub   *Hub
	mu    sync.Mutex
	ids   []uint64
	timer *time.Timer // runs while ids isn't empty
	shut  bool
}

func newLeaves(h *Hub) *leaves { return &leaves{hub: h} }

func (l *leaves) add(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return
	}
	l.ids = append(l.ids, id)
	if len(l.ids) == 1 {
		l.timer = time.AfterFunc(leaveInterval, l.flush)
	}
}

func (l *leaves) flush() {
	defer l.hub.survive("telling who has left") // a timer's goroutine
	l.mu.Lock()
	ids := l.ids
	l.ids = nil
	l.mu.Unlock()
	if l.hub.Draining() {
		return // everyone is going
	}
	for some := range slices.Chunk(ids, leavesPerMessage) {
		f := eventloop.NewFrame(ws.OpText, disconnectMessage(some))
		f.Lossy = true
		l.hub.engine.Publish(f, nil)
	}
}

// disconnectMessage tells that clients have left (PROTOCOL section 3).
func disconnectMessage(ids []uint64) []byte {
	m := strconv.AppendUint([]byte(`{"type":"presence","event":"disconnect","clientId":`), ids[0], 10)
	if len(ids) > 1 {
		m = append(m, `,"clientIds":[`...)
		for i, id := range ids {
			if i > 0 {
				m = append(m, ',')
			}
			m = strconv.AppendUint(m, id, 10)
		}
		m = append(m, ']')
	}
	return append(m, '}')
}

func (l *leaves) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = true
	if l.timer != nil {
		l.timer.Stop()
	}
}
