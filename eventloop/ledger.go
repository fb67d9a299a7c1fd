package eventloop

import (
	"sync"
	"sync/atomic"
)

// What is buffered for clients and from them.
const (
	heldFrames   = iota // messages to clients, each once, however many loops and clients share it
	heldQueues          // what it takes to remember who is owed which of them
	heldInbound         // messages from clients that haven't come whole
	heldUpgrades        // requests that aren't complete, or not decided about
	heldOutside         // what an embedder keeps for peers of its own
	heldKinds
)

var heldNames = [heldKinds]string{"messages", "queues", "inbound", "upgrades", "outside"}

// The ledger's marks, in sixteenths of its ceiling. From shedAbove on the worst laggards
// are let go until shedTo is reached; when that isn't enough, newcomers and publishers are
// refused above fullAbove, until it is back at shedAbove. At the ceiling nothing more is taken.
// The steps between them are what can come while the loops find out who the worst are.
const (
	shedTo    = 12
	shedAbove = 14
	fullAbove = 15
	sixteen   = 16
)

// ledger is the sum of all that is buffered for clients and from them, in bytes. Safe from
// any goroutine. Loops don't come here for each delivery: see account.
type ledger struct {
	ceiling int64  // 0: there is none
	relieve func() // called above shedAbove, from any goroutine, often; it must not block

	held    [heldKinds]atomic.Int64
	refused [2]atomic.Uint64 // messages that weren't taken: reliable, lossy

	wanted  atomic.Int64 // by a message that was refused though laggards hold what it takes; 0: by none
	full    atomic.Bool
	awaited atomic.Bool // somebody waits for room
	mu      sync.Mutex
	eased   chan struct{} // closed when there is room again; nil when nobody waits
}

func (g *ledger) mark(sixteenths int64) int64 { return g.ceiling / sixteen * sixteenths }

// used is the sum. What kinds of it come and go between its reads makes it a little wrong.
func (g *ledger) used() (sum int64) {
	for kind := range g.held {
		sum += g.held[kind].Load()
	}
	return sum
}

// judge acts on where the sum stands. Whoever has changed it calls this, and holds no lock.
func (g *ledger) judge() {
	if g.ceiling == 0 {
		return
	}
	used := g.used()
	switch shed := used > g.mark(shedAbove); {
	case shed && used > g.mark(fullAbove) && !g.full.Load():
		g.full.Store(true)
	case !shed && g.full.Load():
		g.full.Store(false)
	}
	if g.above(used) {
		g.relieve()
		return
	}
	if g.wanted.Load() > 0 {
		g.wanted.Store(0)
	}
	if g.awaited.Load() {
		g.ease()
	}
}

// above is whether so much is too much.
func (g *ledger) above(used int64) bool {
	return used > g.mark(shedAbove) || used+g.wanted.Load() > g.ceiling
}

// pressed is true when laggards are being let go.
func (g *ledger) pressed() bool { return g.ceiling > 0 && g.above(g.used()) }

// excess is how much has to go.
func (g *ledger) excess() int64 { return g.used() - min(g.mark(shedTo), g.ceiling-g.wanted.Load()) }

// want has laggards go for a message of n bytes that there was no room for: they could stay
// below the marks, and large messages be refused, for as long as they like. judge is to be called.
func (g *ledger) want(n int64) {
	for now := g.wanted.Load(); n > now && n <= g.ceiling && !g.wanted.CompareAndSwap(now, n); now = g.wanted.Load() {
	}
}

// giveUp is called when nobody is left to go.
func (g *ledger) giveUp() { g.wanted.Store(0) }

// takes is whether there is room for n bytes below the ceiling.
func (g *ledger) takes(n int) bool { return g.ceiling == 0 || g.used()+int64(n) <= g.ceiling }

// drained is nil when publishers needn't wait, and otherwise closed when it is worth asking again.
func (g *ledger) drained() <-chan struct{} {
	if !g.pressed() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.eased == nil {
		g.eased = make(chan struct{})
		g.awaited.Store(true)
	}
	if !g.pressed() { // whoever made room may not have seen that it is awaited
		g.easeLocked()
		return nil
	}
	return g.eased
}

func (g *ledger) ease() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.easeLocked()
}

func (g *ledger) easeLocked() {
	if g.eased != nil {
		close(g.eased)
		g.eased = nil
		g.awaited.Store(false)
	}
}

// hold notes that one more mailbox keeps f from being freed; judge is to be called.
func (g *ledger) hold(f *Frame) {
	f.seal()
	if f.holders.Add(1) == 1 {
		g.held[heldFrames].Add(f.footprint())
	}
}

// release is the opposite of hold.
func (g *ledger) release(f *Frame) {
	if f.holders.Add(-1) == 0 {
		g.held[heldFrames].Add(-f.footprint())
	}
}

// Hold counts n bytes, and frames, as buffered until release is called, once. It is for what
// an embedder keeps for peers of its own, such as an API's bodies and answers. A frame counts
// once however many hold it. No client has to go for such peers: ok is false, and nothing is
// held, where one would.
func (e *Engine) Hold(n int, frames ...*Frame) (release func(), ok bool) {
	g := &e.ledger
	more := int64(n)
	for _, f := range frames {
		if f.holders.Load() == 0 {
			more += f.footprint()
		}
	}
	if g.ceiling > 0 && g.above(g.used()+more) {
		return nil, false
	}
	return g.keep(n, frames), true
}

// Reserve is Hold for n bytes of what is to be published: clients go for it as they do for a
// message, and where they hold what it takes, room is made for the next try.
func (e *Engine) Reserve(n int) (release func(), ok bool) {
	g := &e.ledger
	defer g.judge()
	if !g.takes(n) {
		g.want(int64(n))
		return nil, false
	}
	return g.keep(n, nil), true
}

func (g *ledger) keep(n int, frames []*Frame) (release func()) {
	g.held[heldOutside].Add(int64(n))
	for _, f := range frames {
		g.hold(f)
	}
	return func() {
		g.held[heldOutside].Add(-int64(n))
		for _, f := range frames {
			g.release(f)
		}
		g.judge()
	}
}

// refuse counts a message that there was no room for.
func (g *ledger) refuse(f *Frame) (dropped Dropped) {
	dropped.count(f)
	g.refused[dropped.Lossy].Add(1)
	dropped.Refused = true
	return dropped
}

// Buffered is what is buffered for clients and from them, in bytes.
type Buffered struct {
	Ceiling int64            // 0: there is none
	Bytes   map[string]int64 // by kind: messages, queues, inbound, upgrades, outside
	Full    bool             // newcomers and publishers are refused
	Lossy   uint64           // messages refused for want of room since the start: presence and relays
	Others  uint64           // the same: all others
}

func (g *ledger) stats() Buffered {
	b := Buffered{Ceiling: g.ceiling, Bytes: make(map[string]int64, heldKinds), Full: g.full.Load(),
		Others: g.refused[0].Load(), Lossy: g.refused[1].Load()}
	for kind, name := range heldNames {
		b.Bytes[name] = max(g.held[kind].Load(), 0)
	}
	return b
}
