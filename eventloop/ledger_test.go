package eventloop

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// newTestLedger has marks that are easy to see: it sheds above 1400 down to 1200, and is full
// above 1500. shed counts how often relief was asked for.
func newTestLedger() (g *ledger, shed *int) {
	shed = new(int)
	return &ledger{ceiling: 1600, relieve: func() { *shed++ }}, shed
}

func (g *ledger) put(n int64) {
	g.held[heldInbound].Add(n)
	g.judge()
}

func TestLedgerMarks(t *testing.T) {
	g, shed := newTestLedger()
	for _, step := range []struct {
		add, excess int64
		shed        int // calls so far
		full, takes bool
	}{
		{1400, 200, 0, false, true},    // not above the mark
		{1, 201, 1, false, true},       // the laggards go
		{99, 300, 2, false, true},      // 1500
		{1, 301, 3, true, true},        // newcomers are refused
		{98, 399, 4, true, true},       // 1599
		{1, 400, 5, true, false},       // the ceiling: no byte more
		{-199, 201, 6, true, true},     // 1401: still refused
		{-1, 200, 6, false, true},      // 1400
		{101, 301, 7, true, true},      // and again
		{-1501, -1200, 7, false, true}, // 0
	} {
		g.put(step.add)
		if g.excess() != step.excess || *shed != step.shed || g.full.Load() != step.full || g.takes(1) != step.takes {
			t.Errorf("at %d: excess %d, shed %d times, full %v, takes %v; want %+v",
				g.used(), g.excess(), *shed, g.full.Load(), g.takes(1), step)
		}
	}
}

func TestLedgerWithoutCeiling(t *testing.T) {
	g := &ledger{relieve: func() { t.Error("laggards go") }}
	g.put(1 << 50)
	if g.full.Load() || g.pressed() || !g.takes(1<<50) || g.drained() != nil {
		t.Error("there is no ceiling, and it was reached")
	}
}

// Publishers wait while laggards go, and are told when there is room again.
func TestLedgerRoom(t *testing.T) {
	g, _ := newTestLedger()
	g.put(1400)
	if g.drained() != nil {
		t.Fatal("a publisher waits below the mark")
	}
	g.put(1)
	first, second := g.drained(), g.drained()
	if first == nil || second == nil {
		t.Fatal("a publisher doesn't wait above the mark")
	}
	select {
	case <-first:
		t.Fatal("there is no room yet")
	default:
	}
	g.put(-1)
	<-first
	<-second
}

// Room is made for what was refused, and no longer than until it is there, or can't be.
func TestLedgerWanted(t *testing.T) {
	g, shed := newTestLedger()
	g.put(1300)
	g.want(1601)
	g.judge()
	if g.pressed() || *shed != 0 {
		t.Fatal("room is made for what never fits")
	}
	g.want(700)
	g.want(500) // the larger counts
	g.judge()
	room := g.drained()
	if room == nil || *shed != 1 || g.excess() != 400 || g.full.Load() {
		t.Fatalf("room is made: %v, shed %d times, excess %d, full %v", room != nil, *shed, g.excess(), g.full.Load())
	}
	g.put(-399)
	select {
	case <-room:
		t.Fatal("there is one byte too little")
	default:
	}
	g.put(-1)
	<-room
	if g.put(400); g.pressed() {
		t.Error("room is still made for what could have come")
	}
	g.want(700)
	if g.giveUp(); g.pressed() {
		t.Error("room is made though nobody is left to go")
	}
}

// A publisher that begins to wait just as room is made must not miss that.
func TestLedgerRoomIsNeverMissed(t *testing.T) {
	g := &ledger{ceiling: 1600, relieve: func() {}}
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for range 2000 {
				for room := g.drained(); room != nil; room = g.drained() {
					<-room // those who hold something wait for nobody
				}
				g.put(800)
				runtime.Gosched()
				g.put(-800)
			}
		})
	}
	publishers.Wait()
	if g.used() != 0 || g.drained() != nil {
		t.Errorf("%d bytes are left", g.used())
	}
}

// Frames are passed around at random between mailboxes, loops and their clients: each counts
// once while anybody has it, and when nobody has, the ledger is at zero.
func TestLedgerAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		m := newLedgerModel(random)
		for range 2000 {
			m.step()
			m.check(t)
		}
		for len(m.places) > 0 {
			m.remove(len(m.places) - 1)
		}
		m.check(t)
		for kind := range m.g.held {
			if n := m.g.held[kind].Load(); n != 0 {
				t.Fatalf("%d bytes of %s are left", n, heldNames[kind])
			}
		}
	}
}

// place is where a frame is: in the mailbox or broadcast log of a loop, or behind for one of its clients.
type place struct {
	f      *Frame
	loop   int
	behind bool
}

type ledgerModel struct {
	random *rand.Rand
	g      *ledger
	loops  []*Loop
	frames []*Frame
	places []place
}

func newLedgerModel(random *rand.Rand) *ledgerModel {
	m := &ledgerModel{random: random, g: &ledger{}}
	for range 3 {
		l := &Loop{account: account{ledger: m.g}}
		l.holds = newHolds(&l.account)
		m.loops = append(m.loops, l)
	}
	for range 8 {
		m.frames = append(m.frames, NewFrame(ws.OpBinary, make([]byte, random.IntN(100_000))))
	}
	return m
}

func (m *ledgerModel) step() {
	if len(m.places) > 0 && m.random.IntN(2) == 0 {
		m.remove(m.random.IntN(len(m.places)))
		return
	}
	p := place{m.frames[m.random.IntN(len(m.frames))], m.random.IntN(len(m.loops)), m.random.IntN(2) == 0}
	l := m.loops[p.loop]
	if p.behind {
		l.holds.take(p.f)
	} else {
		m.g.hold(p.f)
	}
	if m.random.IntN(8) == 0 {
		p.f.decide(&deflation{threshold: 1}) // too late: what is held takes no twin
	}
	m.places = append(m.places, p)
}

func (m *ledgerModel) remove(i int) {
	p := m.places[i]
	m.places[i] = m.places[len(m.places)-1]
	m.places = m.places[:len(m.places)-1]
	if l := m.loops[p.loop]; p.behind {
		l.holds.release(p.f)
	} else {
		l.account.release(p.f)
	}
}

func (m *ledgerModel) check(t *testing.T) {
	t.Helper()
	kept, frames, queues := make(map[*Frame]bool), int64(0), int64(0)
	for _, p := range m.places {
		if !kept[p.f] {
			kept[p.f] = true
			frames += p.f.footprint()
		}
		if p.behind {
			queues += queuedBytes
		}
	}
	if off := m.g.used() - frames - queues; max(off, -off) > int64(len(m.loops))*(accountSlack+100_000+frameBytes) {
		t.Fatalf("before settling the ledger is off by %d", off)
	}
	if m.random.IntN(10) > 0 && len(m.places) > 0 {
		return
	}
	for _, l := range m.loops {
		l.account.settle()
	}
	if got := &m.g.held; got[heldFrames].Load() != frames || got[heldQueues].Load() != queues {
		t.Fatalf("%d bytes of frames, %d of queues; there are %d and %d", got[heldFrames].Load(), got[heldQueues].Load(), frames, queues)
	}
}

// What an embedder holds counts, frames once, and never has a client go.
func TestHoldingOutside(t *testing.T) {
	e := &Engine{}
	e.ledger.ceiling, e.ledger.relieve = 1600, func() { t.Error("laggards go") } // above 1400
	f := NewFrame(ws.OpBinary, make([]byte, 500))
	size := f.footprint()
	first, ok := e.Hold(0, f)
	second, ok2 := e.Hold(0, f, f)
	if !ok || !ok2 || e.ledger.used() != size {
		t.Fatalf("one frame of %d bytes, held by all: %d", size, e.ledger.used())
	}
	rest := int(e.ledger.mark(shedAbove) - size)
	if _, ok := e.Hold(rest + 1); ok || e.ledger.used() != size {
		t.Errorf("laggards would have to go: %v, %d held", ok, e.ledger.used())
	}
	third, ok := e.Hold(rest)
	if !ok {
		t.Error("there was room for the rest")
	}
	if _, ok := e.Hold(0, NewFrame(ws.OpBinary, nil)); ok {
		t.Error("there was room for a frame")
	}
	fourth, ok := e.Hold(0, f)
	if !ok {
		t.Error("what is held already takes no room")
	}
	for _, release := range []func(){first, second, third, fourth} {
		release()
	}
	if e.ledger.used() != 0 {
		t.Errorf("%d are left", e.ledger.used())
	}
}

// What is to be published has clients go as a message has, also when it doesn't fit yet.
func TestReservingForMessages(t *testing.T) {
	shed := 0
	e := &Engine{}
	e.ledger.ceiling, e.ledger.relieve = 1600, func() { shed++ } // above 1400
	e.ledger.held[heldQueues].Add(1300)                          // laggards'
	release, ok := e.Reserve(300)
	if !ok || shed != 1 || e.ledger.used() != 1600 {
		t.Errorf("up to the ceiling: %v, shed %d times, %d held", ok, shed, e.ledger.used())
	}
	release()
	if _, ok := e.Reserve(301); ok || shed != 2 || !e.ledger.pressed() {
		t.Errorf("above it: %v, shed %d times", ok, shed)
	}
	e.ledger.held[heldQueues].Add(-1) // they go
	if release, ok = e.Reserve(301); !ok {
		t.Fatal("room was made, and it isn't there")
	}
	release()
	if e.ledger.used() != 1299 {
		t.Errorf("%d are left", e.ledger.used())
	}
}
