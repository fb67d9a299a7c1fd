package eventloop

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/admission"
	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/mailbox"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/internal/rates"
	"github.com/busbar-ws/busbar/subs"
)

// tick is the resolution of all timeouts; a round of ticks visits every client once.
const (
	tick       = 100 * time.Millisecond
	roundTicks = 10
)

// Loop is one shard: the clients of one gnet event loop and all that belongs to them.
// It is owned by that loop's goroutine; mailbox, counters and what is atomic alone are
// safe from any.
type Loop struct {
	index  int
	engine *Engine
	opts   *Options

	mailbox  inbox
	poller   *poll.Loop
	counters counters
	ticker   ticker
	now      uint32 // in ticks since the engine started

	clients    clientTable
	subs       subscriptions
	broadcasts delivery.BroadcastLog
	fanout     fanout
	behind     behind
	history    history
	account    account

	accepting accepting
	meters    rates.Meters
	scratch   []byte // for control frames and answers
	pools     pools

	reading reading
}

// reading is the client whose bytes are being read. It isn't closed before that is over: gnet still holds on to it.
type reading struct {
	client     *Client
	closeAfter bool
}

// inbox is what is on its way into a loop, and what it has taken of that, in slices that are reused.
// Box, lost, unseen, passed and draining are safe from any goroutine.
type inbox struct {
	mailbox.Box[entry]
	lost     losses
	unseen   unseen
	passed   atomic.Uint64 // the newest event that came while the loop had no clients
	draining atomic.Bool   // the loop is in drain, and looks for itself at its end

	telling  []telling // what was lost before what is in taken
	taken    []mailbox.Item[entry]
	handled  int // of taken
	writable []uint32

	// The fan-out that is under way: see Loop.address.
	end     int     // of taken, behind what it is of; 0: there is none
	next    int     // of the audience's names or ids
	visited *Client // last
	wanted  bool    // by somebody
}

// ticker is a loop's slow wheel. timer and posted are safe from any goroutine.
type ticker struct {
	posted   atomic.Bool // a tick is due
	due      atomic.Bool // and the loop hasn't begun with it
	timer    *time.Timer
	at       uint32 // when the timer brings a tick; 0: it doesn't
	phase    int    // of the round
	next     int    // slot that is to be looked at
	end      int    // of those slots, by this tick
	lifetime admission.Lifetime
}

// subscriptions are who is subscribed to what on a loop, and which of it is being decided about.
type subscriptions struct {
	*subs.Index
	pending map[delivery.PendingKey]*delivery.Pending
	tickets uint64
	counted int // of Size, by the budget
}

// behind are a loop's clients that aren't at the end of its broadcast log.
type behind struct {
	laggards  []*Client
	unchecked int // how many of the first of them are to be looked at yet
	checked   furthestSoFar
	pinned    int    // clients for which the broadcast log is kept though they aren't lagging
	lagNow    uint32 // the clock that laggards are judged by: ticks that the loop was there for
	lagRead   uint32 // when it last went on
	// replays is by slot, and nil while it is empty.
	replays map[uint32]*delivery.ReplayBuffer
}

// pools are what a loop lends to clients that need it for a while.
type pools struct {
	iov     []poll.Piece
	queues  []*delivery.SendQueue
	decoder *delivery.Assembly
}

func newLoop(index int, e *Engine) *Loop {
	l := &Loop{
		index: index, engine: e, opts: &e.opts, poller: e.poller.Loop(index),
		mailbox:   inbox{Box: mailbox.Box[entry]{MaxMessages: e.opts.Memory.QueueMessages, MaxBytes: e.opts.Memory.QueueBytes}},
		clients:   newClientTable(e.opts.Node, index),
		subs:      subscriptions{Index: subs.NewIndex(e.table, index), pending: make(map[delivery.PendingKey]*delivery.Pending)},
		fanout:    fanout{batch: delivery.Batch[poll.Piece]{Piece: poll.PieceOf}, slice: slice{sliceTime: sliceTime}},
		accepting: accepting{pace: admission.NewPacer(e.opts.Accept.Rate, e.opts.Accept.Burst)},
		meters:    rates.NewMeters(e.tuning.Load().limiter),
	}
	l.mailbox.Drop = l.letGo
	l.mailbox.Taken = func() { l.mailbox.telling = append(l.mailbox.lost.take(l.now), l.mailbox.unseen.take(l.now)...) }
	l.broadcasts.PassEvent(e.opts.LastSeq)
	l.history.events.start = e.opts.LastSeq
	l.ticker.lifetime = admission.NewLifetime(e.started)
	l.ticker.timer = stoppedTimer(l.tickNow)
	l.fanout.again = stoppedTimer(l.poller.Wake)
	l.accepting.paceTimer = stoppedTimer(l.resumePaced)
	return l
}

// stoppedTimer waits for its Reset. One that runs would keep all that f refers to.
func stoppedTimer(f func()) *time.Timer {
	timer := time.AfterFunc(math.MaxInt64, f)
	timer.Stop()
	return timer
}

// Index is the loop's number, from 0.
func (l *Loop) Index() int { return l.index }

// drain is a turn of the loop: it handles what has come through the mailbox and lets clients have,
// with one system call each, what they are owed, as much of both as fits into a slice.
func (l *Loop) drain() {
	l.mailbox.draining.Store(true)
	began := l.readClock()
	defer l.rest(began)
	if l.ticker.due.CompareAndSwap(true, false) { // whatever waits in the mailbox
		l.guard(nil, l.onTick)
	}
	now, turn := l.engine.started.Add(began), l.nextSlice()
	if l.lookingAround() {
		l.fanout.beginSlice(now, turn/4)
		l.lookAround()
		now = time.Now()
	}
	l.fanout.beginSlice(now, turn/2)
	if l.mailbox.handled == len(l.mailbox.taken) {
		l.takeMail()
	} else {
		l.mailbox.writable = l.mailbox.TakeWritable(l.mailbox.writable)
	}
	for _, slot := range l.mailbox.writable {
		l.resume(slot)
	}
	l.mailbox.writable = shrink(l.mailbox.writable)[:0]
	l.handleSome()
	if l.mailbox.handled < len(l.mailbox.taken) || !l.tooSoon() {
		l.fanout.beginSlice(now, turn)
		l.flush()
	}
	if l.lookingAround() {
		l.yield()
	}
}

// rest ends a drain. What has come while it ran has a turn of its own.
func (l *Loop) rest(began time.Duration) {
	l.mailbox.draining.Store(false)
	l.account.show(&l.counters.accounts)
	l.history.events.note(l.now, l.broadcasts.EventBefore(l.broadcasts.End()))
	if l.mailbox.Told() {
		l.yield()
	}
	if l.accepting.pace.TurnOver(began) {
		l.accepting.paceTimer.Stop()
		l.resumePaced()
	}
}

// yield has drain run again after the loop has looked at its sockets.
func (l *Loop) yield() {
	l.accepting.pace.More()
	l.poller.Yield()
}

// wake has drain run when the loop gets round to it, if the mailbox says that it has to be told. A loop
// that is in drain looks for itself at its end.
func (l *Loop) wake(told bool) {
	if told && !l.mailbox.draining.Load() {
		l.poller.Wake()
	}
}

// at is the client in a slot, nil when there is none.
func (l *Loop) at(slot int) *Client {
	if slot >= len(l.clients.slots) {
		return nil
	}
	return l.clients.slots[slot]
}

// shrink lets a slice that a burst has made large go.
func shrink[T any](s []T) []T {
	const keep = 4096
	if cap(s) > keep {
		return nil
	}
	return s
}

// readClock returns the time since the engine started.
func (l *Loop) readClock() time.Duration {
	now := time.Since(l.engine.started)
	l.now = uint32(now / tick)
	return now
}

// isEveryone is whether all of the loop's clients are of the audience. Then a frame for it
// goes into the broadcast log: one entry for all of them, where each would have a send queue otherwise.
// Every open client has a label of each kind.
func (l *Loop) isEveryone(a *Audience) bool {
	if a == nil {
		return true
	}
	if a.key != nil || len(a.Names) != 1 {
		return false
	}
	groups := l.clients.groups[a.Label]
	return len(groups) == 1 && groups[a.Names[0]] != nil
}

// excludes is for a subscriber of the audience's key: it hasn't the label besides.
func (a *Audience) excludes(c *Client) bool {
	return a != nil && a.key != nil && len(a.Names) > 0 && (c.groups[a.Label] == nil || c.groups[a.Label].name != a.Names[0])
}

// Find is the client of that id, nil when it isn't this loop's or has gone.
func (l *Loop) Find(id uint64) *Client {
	if loopOf(id) != l.index {
		return nil
	}
	return l.clients.find(id)
}
