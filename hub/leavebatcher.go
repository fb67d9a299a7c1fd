package hub

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
)

// leaveInterval is how long leaves are collected for. A hundred thousand clients that go
// at once would otherwise be as many messages to each of those that stay.
const leaveInterval = 50 * time.Millisecond

// leaveIntervalDraining is the same while a drain has clients leave all the time: there are as many messages
// to all who stay as there are intervals in it.
const leaveIntervalDraining = time.Second

// leavesPerMessage bounds one message to some 40 KiB.
const leavesPerMessage = 4096

// leavePatience is how long messages about those who left at once wait for room, before they are
// dropped. Tenants may be many, and have a message each: these would push each other, and what
// else is relayed, out of the queues.
const leavePatience = 5 * time.Second

// leaveBatcher merges the clients that have left into few messages, for each audience that is to
// know of them. Safe from any goroutine.
type leaveBatcher struct {
	hub   *Hub
	mu    sync.Mutex
	ids   map[string][]uint64 // by who knows of them: everyone (""), or a tenant (behind a t)
	timer *time.Timer         // runs while ids isn't empty
	shut  bool

	flushing sync.WaitGroup // timers that run, and flushes; nothing is added once shut
	dropped  atomic.Uint64  // messages for which there was no room
}

func newLeaveBatcher(h *Hub) *leaveBatcher {
	return &leaveBatcher{hub: h, ids: make(map[string][]uint64)}
}

// add is for a client that has left. With relays off nobody was told that it was there.
func (l *leaveBatcher) add(client uint64, id *Identity) {
	if l.hub.opts.Relays == RelayOff {
		return
	}
	to := "t" + id.Tenant
	if l.hub.peers(id) == nil {
		to = ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return
	}
	l.ids[to] = append(l.ids[to], client)
	if len(l.ids) == 1 && len(l.ids[to]) == 1 {
		l.flushing.Add(1)
		interval := leaveInterval
		if l.hub.Draining() {
			interval = leaveIntervalDraining
		}
		l.timer = time.AfterFunc(interval, func() {
			defer l.flushing.Done()
			l.flush()
		})
	}
}

func (l *leaveBatcher) flush() {
	defer l.hub.survive("telling who has left") // a timer's goroutine
	l.mu.Lock()
	left := l.ids
	l.ids = make(map[string][]uint64)
	l.mu.Unlock()
	patience, cancel := context.WithTimeout(l.hub.background, leavePatience)
	defer cancel()
	l.tell(patience, left)
}

// tell queues messages about those who have left while there is room for more.
func (l *leaveBatcher) tell(patience context.Context, left map[string][]uint64) {
	defer l.hub.engine.Flush()
	full := false
	for to, ids := range left {
		var audience *eventloop.Audience
		if to != "" {
			audience = ofTenant(to[1:])
		}
		for some := range slices.Chunk(ids, leavesPerMessage) {
			f := eventloop.NewFrame(ws.OpText, disconnectMessage(some))
			f.Lossy, f.Kind = true, eventloop.KindPresence
			l.hub.toPeers(f, audience)
			full = full || l.hub.engine.WaitDrained(patience) != nil
			switch {
			case l.hub.shutDown.Load(): // everyone here is going
			case full:
				l.dropped.Add(1)
			default:
				l.hub.engine.Queue(f, audience)
			}
		}
	}
}

// disconnectMessage tells that clients have left (docs/protocol.md section 3).
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

// close returns when no flush runs any more. The hub's background has ended, so none waits for room.
func (l *leaveBatcher) close() {
	l.mu.Lock()
	l.shut = true
	if l.timer != nil && l.timer.Stop() {
		l.flushing.Done()
	}
	l.mu.Unlock()
	l.flushing.Wait()
	if l.hub.opts.Peers != nil {
		l.flush() // others stay
	}
}
