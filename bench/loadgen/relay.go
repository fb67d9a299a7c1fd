package loadgen

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/gobwas/ws"
)

// RelayOrder is the same for all workers; each takes its share.
type RelayOrder struct {
	Clients int           // of all workers
	Senders int           // of all workers
	Size    int           // of messages, in bytes
	Rate    float64       // of all senders together, a second
	For     time.Duration // how long they send
}

// chosen is whether a client is one of some of all, evenly spread, and which of them.
func chosen(client, some, all int) (which int, ok bool) {
	which = client * some / all
	return which, (client+1)*some/all > which
}

// relayBook is what a worker's clients send to all others, and what they had of that.
// Owned by its swarm.
type relayBook struct {
	order   RelayOrder
	senders []relaySender
	next    []uint32 // of each client and sender of all workers: the number that comes next
	late    *hdrhistogram.Histogram

	began         int64 // when sending did
	planned, sent int   // messages of this while
	total         int   // messages of all whiles
}

type relaySender struct {
	member int32
	number uint32 // among the senders of all workers
	next   uint32 // number of its next message
}

// readyToSend has clients expect messages of all senders, and empties what is measured.
func (s *swarm) readyToSend(o RelayOrder) error {
	b := &s.relays
	s.latency.Reset()
	if s.phase == relaying {
		b.late.Reset()
		return nil
	}
	s.phase, s.recordFrom = relaying, 0
	clients := len(s.members)
	*b = relayBook{order: o, next: make([]uint32, clients*o.Senders), late: NewHistogram()}
	for i := range clients {
		if number, ok := chosen(s.plan.first+i, o.Senders, o.Clients); ok {
			b.senders = append(b.senders, relaySender{member: int32(i), number: uint32(number)})
		}
	}
	return nil
}

// Messages of the bench have a stamp whose number is the sender's and the message's. Clients are sent them with a
// "from" at the end.
const (
	relayStart   = `{"type":"presence","bench":"`
	relayPadding = `","pad":"`

	// MinRelay is the smallest presence message of the bench, in bytes.
	MinRelay = len(relayStart) + hexStampSize + len(relayPadding) + 2
)

func relay(sender, number uint32, at int64, size int) []byte {
	b := appendHexStamp([]byte(relayStart), uint64(sender)<<32|uint64(number), at)
	return fmt.Appendf(b, `%s%s"}`, relayPadding, strings.Repeat("x", size-MinRelay))
}

// readRelay reads a text message. Presence is lossy: gaps are no fault here, and what should
// have come is counted in the end.
func (s *swarm) readRelay(text []byte) (a message, ok bool) {
	b := &s.relays
	stamp, ok := bytes.CutPrefix(text, []byte(relayStart))
	number, published, stamped := readHexStamp(stamp)
	a = message{seq: number >> 32, number: number & math.MaxUint32, published: published}
	if !ok || !stamped || a.seq >= uint64(b.order.Senders) || len(text) < b.order.Size {
		s.report.Faults.Foreign++
		return a, false
	}
	return a, true
}

// latest is where a client stands in the messages of a sender.
func (b *relayBook) latest(client int32, sender uint64) *uint32 {
	return &b.next[int(client)*b.order.Senders+int(sender)]
}

// startSending has the swarm's senders take turns from now on.
func (s *swarm) startSending(o RelayOrder) error {
	b := &s.relays
	share := float64(len(b.senders)) / float64(o.Senders)
	b.order, b.began, b.sent = o, Now(), 0
	b.planned = int(math.Round(o.Rate * share * o.For.Seconds()))
	return nil
}

// due is when the message after those that were sent is to go out.
func (b *relayBook) due() int64 {
	return b.began + int64(float64(b.sent)/float64(b.planned)*float64(b.order.For))
}

// sendAtOnce bounds the messages that go out before the loop reads again.
const sendAtOnce = 256

// send sends what is due, each message stamped with the time at which it was, and returns when the next one is.
func (s *swarm) send() (next int64) {
	b := &s.relays
	for range sendAtOnce {
		if b.sent >= b.planned {
			return never
		}
		at, due := Now(), b.due()
		if due > at {
			break
		}
		record(b.late, at-due)
		from := &b.senders[b.total%len(b.senders)]
		b.sent++
		b.total++
		m := &s.members[from.member]
		if m.state != open {
			continue // which is a fault already
		}
		message := masked(ws.NewTextFrame(relay(from.number, from.next, due, b.order.Size)))
		from.next++
		if err := sendAll(int(m.fd), message); err != nil {
			s.lose(from.member, m, err)
		}
	}
	return b.due()
}
