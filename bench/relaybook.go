package bench

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What a worker is told to do in the scenario presence.
const (
	presenceReady  = "ready"  // what is measured begins anew; senders of other workers may be first
	presenceSend   = "send"   // send for a while
	presenceStop   = "stop"   // send no more
	presenceReport = "report" // say what was sent and what came
	presenceLeave  = "leave"  // end some connections
)

// presenceOrder is the same for all workers; each takes its share.
type presenceOrder struct {
	Do      string  `json:"do"`
	Clients int     `json:"clients"`           // of all workers
	Senders int     `json:"senders,omitempty"` // of all workers
	Size    int     `json:"size,omitempty"`    // of messages, in bytes
	Rate    float64 `json:"rate,omitempty"`    // of all senders together, a second
	For     int64   `json:"for,omitempty"`     // ns
	Leave   int     `json:"leave,omitempty"`   // clients that are to go, of all workers
}

// chosen is whether a client is one of some of all, evenly spread, and which of them.
func chosen(client, some, all int) (which int, ok bool) {
	which = client * some / all
	return which, (client+1)*some/all > which
}

// relayBook is what a worker's clients send to all others, and what they had of that.
// Owned by its swarm.
type relayBook struct {
	order   presenceOrder
	first   int // number of the swarm's first client
	timer   int // a timerfd that wakes the swarm for the next message
	senders []relaySender
	next    []uint32 // of each client and sender of all workers: the number that comes next
	late    *hdrhistogram.Histogram

	began, sending int64 // ns of now: since when, and how long
	planned, sent  int   // messages of this while
	total          int   // messages of all whiles
	message        []byte

	leaves     []uint32 // of each client: messages about others that have left
	leaveBytes uint64
}

type relaySender struct {
	member int32
	number uint32 // among the senders of all workers
	next   uint32 // number of its next message
}

func newRelayBook(o presenceOrder, first, clients int) *relayBook {
	b := &relayBook{
		order: o, first: first, next: make([]uint32, clients*o.Senders), leaves: make([]uint32, clients), late: newHistogram(),
	}
	for i := range clients {
		if number, ok := chosen(first+i, o.Senders, o.Clients); ok {
			b.senders = append(b.senders, relaySender{member: int32(i), number: uint32(number)})
		}
	}
	return b
}

// Messages of the bench: the start, then sender, number and time in hexadecimal digits,
// then what fills them up. Clients are sent them with a "from" at the end.
const (
	relayStart   = `{"type":"presence","bench":"`
	relayDigits  = 8 + 8 + 16
	leaveStart   = `{"type":"presence","event":"disconnect"`
	relayPadding = `","pad":"`

	// MinRelay is the smallest presence message of the bench, in bytes.
	MinRelay = len(relayStart) + relayDigits + len(relayPadding) + 2
)

func appendHex(b []byte, n uint64, digits int) []byte {
	for digits--; digits >= 0; digits-- {
		b = append(b, "0123456789abcdef"[n>>(4*digits)&15])
	}
	return b
}

func appendRelay(b []byte, sender, number uint32, at int64, size int) []byte {
	b = append(appendClientHeader(b, opText, size), relayStart...)
	b = appendHex(appendHex(appendHex(b, uint64(sender), 8), uint64(number), 8), uint64(at), 16)
	b = append(b, relayPadding...)
	for range size - MinRelay {
		b = append(b, 'x')
	}
	return append(b, '"', '}')
}

func readRelay(head []byte) (sender, number uint32, at int64, ok bool) {
	digits, ok := bytes.CutPrefix(head, []byte(relayStart))
	if !ok || len(digits) < relayDigits {
		return 0, 0, 0, false
	}
	both, err := strconv.ParseUint(string(digits[:16]), 16, 64)
	if err != nil {
		return 0, 0, 0, false
	}
	ns, err := strconv.ParseUint(string(digits[16:relayDigits]), 16, 64)
	return uint32(both >> 32), uint32(both), int64(ns), err == nil
}

// deliver checks a text message. Presence is lossy: gaps are no fault here, and what should
// have come is counted in the end.
func (b *relayBook) deliver(s *swarm, f frame, at int64) {
	s.report.Texts++
	if bytes.HasPrefix(f.head, []byte(leaveStart)) {
		b.leaves[s.reading]++
		b.leaveBytes += uint64(f.size)
		s.counted++
		return
	}
	sender, number, published, ok := readRelay(f.head)
	if !ok || int(sender) >= b.order.Senders || f.size < b.order.Size {
		s.report.Faults.Foreign++
		return
	}
	switch next := &b.next[int(s.reading)*b.order.Senders+int(sender)]; {
	case number >= *next:
		*next = number + 1
		s.counted++
		s.report.Deliveries++
		record(s.latency, at-published)
	case number+1 == *next:
		s.report.Faults.Repeated++
	default:
		s.report.Faults.Disordered++
	}
}

func (s *swarm) obeyPresence(o *presenceOrder) (Report, error) {
	switch {
	case o == nil || s.relays == nil && o.Do != presenceReady:
		return Report{}, fmt.Errorf("presence: nobody is ready to send")
	case o.Do == presenceReady:
		return s.report, s.readyToSend(*o)
	case o.Do == presenceSend:
		return s.report, s.startSending(*o)
	case o.Do == presenceStop:
		s.relays.planned = s.relays.sent
		return s.report, nil
	case o.Do == presenceLeave:
		return s.report, s.leaveAtOnce(o)
	}
	return s.reportPresence()
}
