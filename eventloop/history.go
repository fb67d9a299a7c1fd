package eventloop

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// remembered is how many closes, and how many losses, a loop remembers.
const remembered = 256

// history is what a loop remembers of its clients for whoever asks what became of one. It is owned by its loop, and
// written when a connection ends or a client loses something; a delivery leaves nothing here.
type history struct {
	closes ring[Closed]
	losses ring[Loss]
	events timeline
}

// Closed is the end of a client that was open.
type Closed struct {
	ID           uint64
	User, Tenant string // its labels, as far as rememberedName goes
	Addr         netip.Addr
	Opened, At   time.Time // to a tick
	Cause        Cause
	Newest       uint64 // the newest event that there was when it left its audiences
	Messages     int    // that it was owed and the kernel didn't take whole
	Events       Gap    // the change events that are among these lie in here
	Replaying    bool   // it was being given events from the change log

	Behind, Ahead   uint64 // as in Trace
	Cursor          bool   // it came with one; see Client.RememberReplay
	Since, Replayed uint64
}

// LossCause is why clients lost messages and stayed connected.
type LossCause uint8

// The causes of losses.
const (
	LossSlow    LossCause = iota // a client was too far behind
	LossMailbox                  // a loop's mailbox was full
	LossMemory                   // there was no room for the message (MemoryOptions.BufferBytes)
	LossLog                      // the change log had let go of them before they came here
	LossClosed                   // the connection ended, but by CauseSlow or CauseMemory: see Closed. Nothing of it stands among the losses
	lossCauses
)

var lossNames = [lossCauses]string{"slow", "mailbox", "memory", "log", "closed"}

// String is the cause's name in metrics.
func (c LossCause) String() string { return lossNames[c] }

// Loss is what one client of a loop lost, or some or all of its clients.
type Loss struct {
	Loop         int
	At           time.Time // to a tick
	Cause        LossCause
	ID           uint64 // 0: an audience lost it
	User, Tenant string // of the client
	Addr         netip.Addr
	Messages     int  // 0 when that isn't known
	Events       Gap  // the change events that are among these lie in here
	Several      bool // it lost the first and the last of these for certain, and perhaps not all in between
}

// ring is the newest of what was put into it. The zero value is empty; it grows up to remembered.
type ring[T any] struct {
	items []T
	next  int       // of items, once it is full: the oldest
	since time.Time // when what was forgotten last was put in; zero: nothing was forgotten
}

func (r *ring[T]) put(item T, oldest func(*T) time.Time) {
	if len(r.items) < remembered {
		r.items = append(r.items, item)
		return
	}
	r.since = oldest(&r.items[r.next])
	r.items[r.next] = item
	r.next = (r.next + 1) % remembered
}

// newest yields places of items, the newest first.
func (r *ring[T]) newest(yield func(*T) bool) {
	for i := range r.items {
		at := (r.next + len(r.items) - 1 - i) % len(r.items)
		if !yield(&r.items[at]) {
			return
		}
	}
}

// Closes are copies of the newest ends of the loop's clients, the newest first. Those that ended after since are all
// there.
func (l *Loop) Closes() (closes []Closed, since time.Time) {
	for c := range l.history.closes.newest {
		closes = append(closes, *c)
	}
	return closes, l.history.closes.since
}

// Losses are as Closes.
func (l *Loop) Losses() (losses []Loss, since time.Time) {
	for n := range l.history.losses.newest {
		losses = append(losses, *n)
	}
	return losses, l.history.losses.since
}

// rememberedName bounds what a name takes here.
const rememberedName = 256

// Remembered is a label's name as Closed and Loss have it.
func Remembered(name string) string {
	if len(name) <= rememberedName {
		return name
	}
	return strings.Clone(strings.ToValidUTF8(name[:rememberedName], ""))
}

func (c *Client) labelled(kind Label) string {
	if g := c.groups[kind]; g != nil {
		return Remembered(g.name)
	}
	return ""
}

// wholeTick is when the tick of the wall clock began, by both clocks: ticks that are counted from there are written in as
// many digits as they are good for.
func wholeTick(now time.Time) time.Time {
	wall := now.Round(0)
	return now.Add(wall.Truncate(tick).Sub(wall))
}

// timeOf is when a tick began.
func (e *Engine) timeOf(t uint32) time.Time { return e.started.Add(time.Duration(t) * tick) }

// closeOf is what is to be remembered of an open client that is about to leave that state. What it is sent behind that
// isn't lost yet.
func (l *Loop) closeOf(c *Client, to state) Closed {
	r := Closed{
		ID: c.id, User: c.labelled(LabelUser), Tenant: c.labelled(LabelTenant), Addr: c.Addr(),
		Opened: c.OpenedAt(), At: l.engine.timeOf(l.now), Cause: c.cause,
		Newest: max(l.broadcasts.EventBefore(l.broadcasts.End()), l.mailbox.passed.Load()), Replaying: c.is(flagReplaying),
	}
	r.Behind, r.Ahead = l.history.events.at(c.since)
	if m := l.behind.replays[c.slot]; m != nil {
		r.Messages = m.Len()
	}
	endsHere := to == gone || c.cause == CauseSlow || c.cause == CauseMemory
	if owed, _ := c.owed(); endsHere && owed > 0 {
		r.Messages += owed
		r.Events = Gap{From: c.unsent(), To: r.Newest}
		if to != gone && c.queue != nil && c.queue.Partial() { // which still goes out
			r.Messages--
			r.Events.From = c.queue.Unsent(&l.broadcasts, c.pos)
		}
	}
	return r
}

// noteUnsent notes what a client that ends wasn't sent ahead of its Close.
func (l *Loop) noteUnsent(c *Client) {
	if c.queue == nil {
		return
	}
	owed, _ := c.owed()
	for r := range l.history.closes.newest {
		if r.ID != c.id {
			continue
		}
		if r.Messages += max(owed-1, 0); owed > 1 { // without the Close
			r.Events = r.Events.Around(Gap{From: c.unsent(), To: r.Newest})
		}
		return
	}
}

// owed is how many messages a client is still to be sent, one in progress included, and their bytes.
func (c *Client) owed() (messages int, bytes int64) {
	l := c.loop
	stop := l.broadcasts.End()
	if c.queue != nil {
		messages, bytes = c.queue.Owed()
		if !c.is(flagReplaying) {
			stop = c.queue.StopsAt(stop)
		}
	} else if c.state != open {
		return 0, 0
	}
	if c.pos < stop {
		messages += int(stop - c.pos)
		bytes += l.broadcasts.Since(c.pos) - l.broadcasts.Since(stop)
	}
	return messages, bytes
}

// unsent is the least seq that an event may have which a client wasn't sent whole.
func (c *Client) unsent() uint64 {
	log := &c.loop.broadcasts
	switch {
	case c.queue != nil:
		return c.queue.UnsentWhole(log, c.pos)
	case c.pos >= log.First():
		return log.EventBefore(c.pos) + 1
	}
	return log.EventBefore(log.First()) + 1
}

// lost counts and remembers that a client was too slow for some messages.
func (l *Loop) lost(c *Client, messages int, events Gap) {
	if messages == 0 {
		return
	}
	l.counters.LagDropped.Add(uint64(messages))
	now, looked := l.engine.timeOf(l.now), 0
	for n := range l.history.losses.newest { // one that is stuck loses some again and again
		if n.ID == c.id && now.Sub(n.At) < mergeLosses {
			n.Messages += messages
			n.Several = n.Several || events.From > n.Events.To+1 // it was sent some again
			n.Events = n.Events.Around(events)
			return
		}
		if looked++; looked == mergeLooks {
			break
		}
	}
	l.remember(Loss{
		Cause: LossSlow, ID: c.id, User: c.labelled(LabelUser), Tenant: c.labelled(LabelTenant), Addr: c.Addr(),
		Messages: messages, Events: events,
	})
}

// A client's losses within a second of each other are one, if not many others come between.
const (
	mergeLosses = time.Second
	mergeLooks  = 16
)

func (l *Loop) remember(n Loss) {
	n.Loop, n.At = l.index, l.engine.timeOf(l.now)
	l.history.losses.put(n, func(n *Loss) time.Time { return n.At })
}

// Laggard is how far an open or closing client is behind.
type Laggard struct {
	Opened   time.Time
	Since    time.Time // to a tick
	Messages int
	Bytes    int64
	Closing  bool // its Close is behind these
	Replays  bool // it is being given events from the change log
}

// Laggards calls f for each client that hasn't taken all that it was sent.
func (l *Loop) Laggards(f func(*Client, Laggard)) {
	for _, c := range slices.Clone(l.behind.laggards) {
		g := Laggard{Since: l.engine.timeOf(c.queue.Began), Closing: c.state == closing, Replays: c.is(flagReplaying)}
		if g.Opened = c.OpenedAt(); g.Closing {
			for r := range l.history.closes.newest {
				if r.ID == c.id {
					g.Opened = r.Opened
					break
				}
			}
		}
		if g.Messages, g.Bytes = c.owed(); c.state == open {
			if m := l.behind.replays[c.slot]; m != nil {
				g.Messages, g.Bytes = g.Messages+m.Len(), g.Bytes+int64(m.Bytes()+m.Asked())
			}
		}
		f(c, g)
	}
}
