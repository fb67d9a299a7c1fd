package eventloop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/admission"
	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/internal/panics"
	"github.com/busbar-ws/busbar/internal/rates"
	"github.com/busbar-ws/busbar/subs"
)

// ErrStopped is returned by calls on an engine that has been stopped.
var ErrStopped = errors.New("event loops have stopped")

// Engine is all the loops. Its methods are safe from any goroutine.
type Engine struct {
	opts    Options
	handler Handler
	addr    netip.AddrPort
	started time.Time
	loops   []*Loop

	table     *subs.Table
	tuning    atomic.Pointer[tuning]
	newest    atomic.Uint64 // Seq of the newest event
	deflation delivery.Deflation
	budget    *budget.Budget
	shedder   shedder
	refused   [2]atomic.Uint64 // messages that there was no room for: reliable, lossy

	places    *admission.Places
	unready   atomic.Bool // health checks are told so
	addresses *admission.Addresses
	proxies   admission.Proxies
	poller    *poll.Engine
	panics    panics.Log
	told      sync.Map // causes that were logged once
}

// New checks the options and makes an engine that isn't running yet. Too low a descriptor
// limit is an error.
func New(h Handler, o Options) (*Engine, error) {
	buffersSet := o.Memory.BufferBytes != 0
	o.setDefaults()
	orDefault(&o.Log, slog.Default())
	if o.Accept.MaxPerAddress < 0 {
		o.Rates.Address = 0
	}
	if err := o.validate(buffersSet); err != nil {
		return nil, err
	}
	proxies, err := admission.NewProxies(o.Accept.ProxyProtocol, o.Accept.TrustedProxies)
	if err != nil {
		return nil, err
	}
	limit, err := DescriptorLimit()
	if err != nil {
		return nil, err
	}
	capacity, err := o.Capacity(limit)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		opts: o, handler: h, table: subs.NewTable(o.Loops), started: wholeTick(time.Now()),
		places: admission.NewPlaces(capacity), addresses: admission.NewAddresses(o.Accept.MaxPerAddress), proxies: proxies,
	}
	e.tuning.Store(&tuning{opts: &e.opts, limiter: rates.NewLimiter(o.Rates)})
	e.newest.Store(o.LastSeq)
	e.shedder.engine = e
	e.budget = budget.New(int64(max(o.Memory.BufferBytes, 0)), o.Memory.KeptElsewhere, e.shedder.begin)
	e.deflation.Threshold, e.deflation.Budget = o.CompressionThreshold, e.budget
	e.poller = poll.New((*events)(e), o.Loops)
	for i := range o.Loops {
		e.loops = append(e.loops, newLoop(i, e))
	}
	return e, nil
}

// Start opens the listeners and runs the loops; it is called once. A port that is in use
// and a bad address are errors, and leave nothing behind.
func (e *Engine) Start() error {
	err := e.poller.Start(poll.Options{
		Listen: e.opts.Listen, SendBuffer: e.opts.SendBuffer, NotSentLowat: e.opts.NotSentLowat,
		UserTimeout: e.opts.Timeouts.PingInterval + e.opts.Timeouts.Pong, Log: e.opts.Log,
	})
	e.addr = e.poller.Addr()
	return err
}

// Addr is the address that the loops listen on.
func (e *Engine) Addr() net.Addr { return net.TCPAddrFromAddrPort(e.addr) }

// Started is when the engine was made.
func (e *Engine) Started() time.Time { return e.started }

// Capacity is how many connections the engine can hold, and why.
func (e *Engine) Capacity() Capacity { return e.places.Capacity() }

// Loops is how many loops there are.
func (e *Engine) Loops() int { return len(e.loops) }

// Connections is how many descriptors clients use right now, handshakes included.
func (e *Engine) Connections() int {
	connections, _ := e.places.Taken()
	return connections
}

// Clients is how many clients are open right now.
func (e *Engine) Clients() int {
	n := int64(0)
	for _, l := range e.loops {
		n += l.counters.Clients.Load()
	}
	return int(n)
}

// Frame is one encoded WebSocket message.
type Frame = delivery.Frame

// RowPlace is where a frame stands among those of a row.
type RowPlace = delivery.RowPlace

// Gap is a stretch of change events.
type Gap = delivery.Gap

// NewFrame encodes one whole message. payload is copied.
func NewFrame(op ws.OpCode, payload []byte) *Frame { return delivery.NewFrame(op, payload) }

// FrameOf is a frame made of bytes that Wire returned, which it shares.
func FrameOf(wire []byte) *Frame { return delivery.FrameOf(wire) }

// Count has the budget know of a frame, the first time that the engine is handed it, until the
// collector frees it. Whatever takes a frame does that; it is for one that isn't handed over yet.
func (e *Engine) Count(f *Frame) { f.Count(e.budget) }

// Publish sends a frame to an audience; nil is everyone. It returns at once, when the
// frame is in the mailboxes of the loops that have somebody for it, with what full
// mailboxes let go of, or there was no room for. Frames published one after the other arrive in that order.
func (e *Engine) Publish(f *Frame, a *Audience) (dropped Dropped) { return e.route(f, a, false) }

// Queue is Publish for a publisher that has more to come: the loops aren't woken for it,
// unless a mailbox is more than half full, so that all goes out together. Flush must be
// called at the end. Other publishers aren't held up.
func (e *Engine) Queue(f *Frame, a *Audience) (dropped Dropped) { return e.route(f, a, true) }

// Flush wakes the loops that have something queued.
func (e *Engine) Flush() {
	for _, l := range e.loops {
		l.wake(l.mailbox.Tell())
	}
}

func (e *Engine) route(f *Frame, a *Audience, more bool) (dropped Dropped) {
	f.PlaceAmong(&e.newest)
	f.Publish(delivery.MomentOf(time.Since(e.started)))
	defer e.budget.Judge()
	if !e.budget.Takes(f.Footprint()) {
		return e.noRoom(f)
	}
	e.Count(f)
	e.split(a, func(l *Loop, part *Audience) {
		e.Deflate(f)
		dropped.add(l.put(f, part, more))
	})
	return dropped
}

// split calls f for each loop that has somebody of the audience, as far as is known here,
// with that loop's part of it.
func (e *Engine) split(a *Audience, f func(*Loop, *Audience)) {
	switch {
	case a != nil && a.Key != "":
		key := e.table.Lookup(a.Key)
		if key == nil {
			return
		}
		resolved := &Audience{Key: a.Key, Label: a.Label, Names: a.Names, key: key}
		for i := range key.Loops {
			f(e.loops[i], resolved)
		}
	case a != nil && a.Clients != nil:
		for i, ids := range byLoop(a.Clients, len(e.loops)) {
			if len(ids) > 0 {
				f(e.loops[i], &Audience{Clients: ids})
			}
		}
	default:
		for _, l := range e.loops {
			f(l, a)
		}
	}
}

// put is a publisher's hand-over to one loop. A loop without clients isn't woken.
func (l *Loop) put(f *Frame, a *Audience, more bool) Dropped {
	if l.counters.Clients.Load() == 0 {
		f.PlaceAmong(&l.mailbox.passed)
		return Dropped{}
	}
	pushedOut, wake := l.mailbox.Put(entry{frame: f, audience: a}, f.Size(), f.Lossy, more)
	l.wake(wake)
	if pushedOut.Lossy+pushedOut.Reliable > 0 {
		l.counters.DroppedLossy.Add(uint64(pushedOut.Lossy))
		l.counters.DroppedOthers.Add(uint64(pushedOut.Reliable))
	}
	return Dropped{Lossy: pushedOut.Lossy, Reliable: pushedOut.Reliable}
}

// WaitDrained waits until no loop's mailbox is more than half full, and no client has to go
// for what is buffered (MemoryOptions.BufferBytes). A publisher that can wait
// calls it before it publishes, and so goes no faster than its messages can be sent.
func (e *Engine) WaitDrained(ctx context.Context) error {
	for _, l := range e.loops {
		if err := e.awaitRoom(ctx, l.mailbox.Drained); err != nil {
			return err
		}
	}
	return e.awaitRoom(ctx, e.budget.Room)
}

func (e *Engine) awaitRoom(ctx context.Context, ask func() <-chan struct{}) (err error) {
	for room := ask(); room != nil && err == nil; room = ask() {
		err = e.await(ctx, room)
	}
	return err
}

// await is nil when ch has told something before ctx has ended, and the engine.
func (e *Engine) await(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.poller.Done():
		return ErrStopped
	}
}

// DrainedFrames is how many frames fit once WaitDrained has returned: half a mailbox.
func (e *Engine) DrainedFrames() int { return max(e.opts.Memory.QueueMessages/2, 1) }

// Overloaded is true while so much is buffered that letting laggards go isn't enough: newcomers
// are refused, and publishers should wait or give up.
func (e *Engine) Overloaded() bool { return e.budget.Full() }

// noRoom is what becomes of a message above the budget's ceiling: room is made for when it is published
// again. Nobody has missed anything, as far as is known here; see Lost.
func (e *Engine) noRoom(f *Frame) Dropped {
	if f.Lossy {
		e.refused[1].Add(1)
		return Dropped{Lossy: 1, Refused: true}
	}
	e.budget.Want(f.Footprint())
	e.refused[0].Add(1)
	return Dropped{Reliable: 1, Refused: true}
}

// Lost is for change events that were refused, or never came here, and won't be published again, or with none
// for another message: those whom they were for are told that they have missed something, ahead of what is published
// from here on. Why is what is remembered as the cause (Loop.Losses).
func (e *Engine) Lost(events Gap, a *Audience, why LossCause) {
	e.split(a, func(l *Loop, part *Audience) {
		to := lostTo{Audience: part, own: events.Empty(), updates: events.Empty(), events: events, cause: why}
		switch {
		case why == LossLog: // how many there were isn't known
		case events.Empty():
			to.messages, to.kinds = 1, one(KindRow)
		default:
			to.messages, to.kinds = 1, one(delivery.KindChange)
		}
		l.mailbox.lost.add(to)
		l.wake(l.mailbox.PutNothing())
	})
}

// Wanted is true when somebody is subscribed to the key.
func (e *Engine) Wanted(key string) bool { return e.table.Lookup(key) != nil }

// Post runs f with the client of that id on its loop, in order with what is published
// from here. When the client has gone f isn't called.
func (e *Engine) Post(id uint64, f func(*Client)) {
	if i := loopOf(id); i < len(e.loops) {
		e.loops[i].post(entry{client: f, id: id})
	}
}

// Each runs f on every loop that has ever had a connection, and returns when all have
// run it, ctx has ended, or the engine has stopped.
func (e *Engine) Each(ctx context.Context, f func(*Loop)) error {
	return e.do(ctx, nil, entry{run: f})
}

// Visit runs f with each open client of the audience, on its loop, which has its turns at other things
// meanwhile, and in order with what is published from here. It returns as Each does.
func (e *Engine) Visit(ctx context.Context, a *Audience, f func(*Client)) error {
	return e.visit(ctx, a, func(c *Client) {
		if c.state == open {
			f(c)
		}
	})
}

// visit is Visit for connections in any state.
func (e *Engine) visit(ctx context.Context, a *Audience, f func(*Client)) error {
	return e.do(ctx, a, entry{visit: f, run: func(*Loop) {}})
}

// do has the loops that have somebody of the audience do a task, and waits for it.
func (e *Engine) do(ctx context.Context, a *Audience, t entry) error {
	ran := make(chan struct{}, len(e.loops))
	waiting := 0
	e.split(a, func(l *Loop, part *Audience) {
		if l.post(entry{audience: part, visit: t.visit, run: func(l *Loop) {
			defer func() { ran <- struct{}{} }()
			t.run(l)
		}}) {
			waiting++
		}
	})
	for ; waiting > 0; waiting-- {
		if err := e.await(ctx, ran); err != nil {
			return err
		}
	}
	return nil
}

// post leaves a task, unless the loop has never had a connection: then there's nobody to
// wake, and nobody whom the task could be about.
func (l *Loop) post(e entry) bool {
	if !l.poller.Joined() {
		return false
	}
	l.wake(l.mailbox.PutTask(e))
	return true
}

// Failed is closed when the engine has stopped, by Stop or by itself; Err tells then.
func (e *Engine) Failed() <-chan struct{} { return e.poller.Done() }

// Err is why the engine stopped by itself. To be called once Failed is closed.
func (e *Engine) Err() error { return e.poller.Err() }

// Hold counts n bytes as buffered until release is called, once. It is for what an embedder keeps
// for peers of its own, such as an API's bodies and answers. No client has to go for such peers:
// ok is false, and nothing is held, where one would, or before the collector has freed what nobody uses any more.
func (e *Engine) Hold(n int) (release func(), ok bool) {
	if release, ok = e.budget.Spare(budget.Outside, int64(n)); !ok {
		e.shedder.collectFor()
	}
	return release, ok
}

// Reserve is Hold for n bytes of what is to be published: clients go for it as they do for a
// message, and where they hold what it takes, room is made for the next try.
func (e *Engine) Reserve(n int) (release func(), ok bool) {
	return e.budget.Reserve(budget.Outside, int64(n))
}
