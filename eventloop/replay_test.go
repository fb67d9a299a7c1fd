package eventloop

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// changeLog is what a hub keeps: events by seq, appended before they are published. Its one
// publisher numbers all that it publishes.
type changeLog struct {
	mu        sync.Mutex
	events    []*Frame
	published int
}

// publish appends the next event and publishes it, to all or to some. Now and then it publishes
// something that isn't an event instead.
func (g *changeLog) publish(e *Engine, a *Audience) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.published++
	f := numbered(g.published, 0)
	if g.published%7 > 1 {
		f.Seq = uint64(len(g.events) + 1)
		g.events = append(g.events, f)
	}
	e.Publish(f, a)
}

// after is at most most events behind seq since, and whether those are all.
func (g *changeLog) after(since uint64, most int) (page []*Frame, all bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	rest := g.events[min(int(since), len(g.events)):]
	if len(rest) > most {
		return append(page, rest[:most]...), false
	}
	return append(page, rest...), true
}

func (g *changeLog) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.published
}

// readers gives returning clients what they have missed, as a hub does: page by page,
// read off the loop, the last of them with a hold.
type readers struct {
	log    changeLog
	e      *Engine
	random *rand.Rand
	mu     sync.Mutex
	wg     sync.WaitGroup

	last   int          // event that will be published
	midway atomic.Int32 // clients that were released before that
}

func (r *readers) pageSize() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return 1 + r.random.IntN(40)
}

// next reads a page for a held client, which has everything up to since.
func (r *readers) next(id, since uint64) {
	most := r.pageSize()
	r.wg.Go(func() {
		page, all := r.log.after(since, most)
		upTo := since + uint64(len(page))
		r.e.Post(id, func(c *Client) {
			c.Data = upTo
			if all {
				if r.log.len() < r.last {
					r.midway.Add(1)
				}
				c.GoLive(page, upTo)
			} else {
				c.SendPage(page, upTo)
			}
		})
	})
}

// asked is called when a client says from where on it wants events.
func (r *readers) asked(c *Client, _ ws.OpCode, _ []byte) {
	c.Data = uint64(0)
	c.PinReplay()
	r.next(c.ID(), 0)
}

func (r *readers) drained(c *Client) {
	c.PinReplay()
	r.next(c.ID(), c.Data.(uint64))
}

// docs/protocol.md section 1, since, and 3, order: neither gap nor repeat, and all that one publisher publishes in
// its order, events or not, whatever the pages and the timing.
func TestCatchUpIsGapless(t *testing.T) {
	t.Parallel()
	rounds := 25
	if wstest.RaceEnabled {
		rounds = 5
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			catchUpRound(t, round)
		})
	}
}

// catchUpRound: eight clients come back one after the other while events are published.
func catchUpRound(t *testing.T, round int) {
	const clients, events = 8, 400
	before := 50 * (round % 4)
	r := &readers{random: rand.New(rand.NewPCG(uint64(round), 10)), last: before + events}
	e := start(t, &host{onDrained: r.drained, onMessage: r.asked}, lagFar, func(o *Options) {
		o.SendBuffer = 4096 * (1 + round%3)
	})
	r.e = e
	live := dial(t, e, "user=u&name=live")
	var wg sync.WaitGroup
	var back []*peer
	for i := range clients {
		p := dial(t, e, fmt.Sprint("hold=1&user=u&name=", i))
		back = append(back, p)
		wg.Go(func() { expectSequence(t, p, 1, r.last) })
	}
	wg.Go(func() { expectSequence(t, live, 1, r.last) })
	for n := range r.last {
		if n%5 < round%5 {
			r.log.publish(e, &Audience{Label: LabelUser, Names: []string{"u"}}) // all of them
		} else {
			r.log.publish(e, nil)
		}
		if n >= before && (n-before)%40 == 0 && len(back) > 0 {
			back[0].Send(ws.OpText, "since 0")
			back = back[1:]
		}
		if n%(1+round%3) == 0 {
			everyLoop(t, e, func(*Loop) {})
		}
	}
	wg.Wait()
	r.wg.Wait()
	if s := e.Stats(); s.Loops[0].Panics+s.Loops[1].Panics > 0 {
		t.Errorf("panics: %+v", s.Loops)
	}
	if r.midway.Load() == 0 {
		t.Error("nobody was released while events were published: nothing is shown")
	}
}

// expectSequence reads frames numbered from first to last, each once and in order.
func expectSequence(t *testing.T, p *peer, first, last int) {
	for want := first; want <= last; want++ {
		f, err := p.Next()
		if err != nil || number(f.Payload) != want {
			t.Errorf("got %q, %v; want event %d", brief(string(f.Payload)), err, want)
			return
		}
	}
}

// What is broadcast while some stand apart reaches all others, flush after flush.
func TestOthersAreServedWhileSomeAreHeld(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops = 1 })
	for i := range 5 {
		dial(t, e, fmt.Sprint("hold=1&name=held", i))
	}
	live := dial(t, e, "name=live")
	for i := range 50 {
		e.Publish(numbered(i, 0), nil)
		live.Expect(ws.OpText, string(numbered(i, 0).Payload()))
	}
	if n := e.Stats().Loops[0].Panics; n > 0 {
		t.Errorf("%d panics", n)
	}
	for i := range 5 {
		on(t, e, h.id(fmt.Sprint("held", i)), func(c *Client) { c.GoLive(nil, 0) })
	}
	everyLoop(t, e, func(l *Loop) {
		if l.behind.pinned != 0 {
			t.Errorf("%d are held still", l.behind.pinned)
		}
	})
}

// Events for the client alone wait for the page that may have them too; those that the
// page has are left out.
func TestOwnEventsWaitWhileHeld(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	p := dial(t, e, "hold=1&name=x")
	id := h.id("x")
	for n := 3; n <= 6; n++ {
		if n%2 == 0 {
			e.Publish(seqOf(n), nil)
		} else {
			e.Publish(seqOf(n), &Audience{Clients: []uint64{id}})
		}
	}
	everyLoop(t, e, func(*Loop) {}) // all that is flushed now would be out of order
	everyLoop(t, e, func(*Loop) {})
	on(t, e, id, func(c *Client) { c.GoLive([]*Frame{seqOf(1), seqOf(2), seqOf(3), seqOf(4)}, 4) })
	e.Publish(seqOf(7), nil)
	expectSequence(t, p, 1, 7)
}

// A held client that is closed gets nothing that would make it believe that it has all
// before: it comes back with the number of the last event that it was given.
func TestCloseWhileHeldSendsNoLiveEvents(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	p := dial(t, e, "hold=1&name=x")
	id := h.id("x")
	live := numbered(100, 0)
	live.Seq = 100
	e.Publish(live, &Audience{Clients: []uint64{id}})
	e.Publish(text("for it alone"), &Audience{Clients: []uint64{id}})
	on(t, e, id, func(c *Client) { c.Close(1001, "", CauseDraining) })
	for {
		f, err := p.Next()
		must(t, err)
		if f.Header.OpCode == ws.OpClose {
			break
		}
		if number(f.Payload) == 100 {
			t.Fatal("event 100 was sent, what is before it wasn't")
		}
	}
}

// A client that leaves in the middle of catching up leaves nothing behind.
func TestLeavingWhileHeld(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	for i := range 20 {
		p := dial(t, e, fmt.Sprint("hold=1&name=", i))
		if i%2 == 0 {
			on(t, e, h.id(fmt.Sprint(i)), func(c *Client) { c.SendPage([]*Frame{numbered(1, 0)}, 1) })
		}
		e.Publish(text("x"), nil)
		p.Close()
	}
	eventually(t, "all have gone", func() bool { return e.Connections() == 0 })
	everyLoop(t, e, func(*Loop) {}) // what was kept goes with the next flush
	everyLoop(t, e, func(l *Loop) {
		if l.behind.pinned != 0 || l.broadcasts.Len() != 0 || len(l.behind.laggards) != 0 {
			t.Errorf("held %d, %d frames kept, %d lagging", l.behind.pinned, l.broadcasts.Len(), len(l.behind.laggards))
		}
	})
}

// What comes for a client while it takes a page is bounded, and it is told when some is lost.
func TestKeptBackIsBounded(t *testing.T) {
	t.Parallel()
	for _, policy := range []SlowPolicy{Disconnect, DropOldest} {
		for name, audience := range map[string]func(id uint64) *Audience{
			"for all": func(uint64) *Audience { return nil },
			"for it":  func(id uint64) *Audience { return &Audience{Clients: []uint64{id}} },
		} {
			t.Run(fmt.Sprint(policy, name), func(t *testing.T) {
				t.Parallel()
				h := &host{onLoss: func(*Client) *Frame { return text("lost") }}
				e := start(t, h, func(o *Options) { o.Slow.Policy, o.Slow.LagBytes = policy, 10*64 })
				p := dial(t, e, "hold=1&name=x")
				id := h.id("x")
				on(t, e, id, func(c *Client) { c.SendPage(nil, 3) })
				a := audience(id)
				for n := 1; n <= 50; n++ {
					e.Publish(numbered(n, 50), a)
					everyLoop(t, e, func(*Loop) {})
				}
				everyLoop(t, e, func(l *Loop) {
					for _, m := range l.behind.replays {
						if m.Bytes() > l.opts.Slow.LagBytes {
							t.Errorf("%d bytes are kept, %d may be", m.Bytes(), l.opts.Slow.LagBytes)
						}
					}
				})
				if policy == Disconnect {
					p.ExpectClose(1013)
					return
				}
				on(t, e, id, func(c *Client) {
					c.PinReplay()
					c.GoLive(nil, 3)
				})
				p.Expect(ws.OpText, "lost")
				first, err := p.Next()
				must(t, err)
				if n := number(first.Payload); n < 30 {
					t.Errorf("it goes on with %d", n)
				} else {
					expectSequence(t, p, n+1, 50)
				}
			})
		}
	}
}

// docs/protocol.md section 3, order: a snapshot that a client asks for doesn't overtake what was published before
// it, events that the client is still to be given from the log included.
func TestAskedSnapshotKeepsItsPlace(t *testing.T) {
	t.Parallel()
	for held, name := range map[bool]string{false: "while a page is sent", true: "while a page is read"} {
		t.Run(name, func(t *testing.T) {
			h := &host{}
			e := start(t, h)
			p := dial(t, e, "hold=1&name=x")
			id := h.id("x")
			for n := 1; n <= 4; n++ {
				e.Publish(seqOf(n), nil)
			}
			everyLoop(t, e, func(*Loop) {})
			on(t, e, id, func(c *Client) { c.SendPage([]*Frame{seqOf(1), seqOf(2)}, 2) })
			expectSequence(t, p, 1, 2)
			on(t, e, id, func(c *Client) {
				if held {
					c.PinReplay()
				}
				ticket, _ := c.SubscribePending("row")
				c.ReleaseSubscription("row", ticket, numbered(5, 0), 0)
			})
			e.Publish(numbered(6, 0), nil)
			on(t, e, id, func(c *Client) {
				c.PinReplay()
				c.GoLive([]*Frame{seqOf(3), seqOf(4)}, 4)
			})
			expectSequence(t, p, 3, 6)
		})
	}
}

// The same behind a message for this client alone.
func TestAskedSnapshotBehindAMessage(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	p := dial(t, e, "hold=1&name=x")
	id := h.id("x")
	for n := 1; n <= 4; n++ {
		e.Publish(seqOf(n), nil)
	}
	everyLoop(t, e, func(*Loop) {})
	on(t, e, id, func(c *Client) { c.SendPage([]*Frame{seqOf(1), seqOf(2)}, 2) })
	e.Publish(numbered(5, 0), &Audience{Clients: []uint64{id}}) // behind 4, which is in the next page
	on(t, e, id, func(c *Client) {
		ticket, _ := c.SubscribePending("row")
		c.ReleaseSubscription("row", ticket, numbered(6, 0), 0)
	})
	expectSequence(t, p, 1, 2)
	on(t, e, id, func(c *Client) {
		c.PinReplay()
		c.GoLive([]*Frame{seqOf(3), seqOf(4)}, 4)
	})
	e.Publish(numbered(7, 0), nil)
	expectSequence(t, p, 3, 7)
}

// seqOf is the n-th event.
func seqOf(n int) *Frame {
	f := numbered(n, 0)
	f.Seq = uint64(n)
	return f
}

// A client that turns out too slow just when a frame of its own comes leaves nothing behind: its
// slot will be somebody else's.
func TestTooSlowWhileCatchingUpLeavesNothing(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops, o.Slow.LagBytes = 1, 10*64 })
	p := dial(t, e, "hold=1&name=x")
	id := h.id("x")
	on(t, e, id, func(c *Client) { c.SendPage(nil, 3) })
	for n := range 50 {
		e.Queue(numbered(n, 50), nil)
	}
	e.Queue(numbered(50, 50), &Audience{Clients: []uint64{id}}) // in the same drain
	e.Flush()
	p.ExpectClose(1013)
	everyLoop(t, e, func(l *Loop) {
		if len(l.behind.replays) > 0 {
			t.Errorf("%d frames are kept for a client that was closed", len(l.behind.replays))
		}
	})
}

// Nor does what comes while pages are read, again and again, grow over the bound.
func TestKeptBackOverPagesIsBounded(t *testing.T) {
	t.Parallel()
	h := &host{onLoss: func(*Client) *Frame { return text("lost") }}
	e := start(t, h, func(o *Options) { o.Loops, o.Slow.Policy, o.Slow.LagBytes = 1, DropOldest, 10*64 })
	dial(t, e, "hold=1&name=x")
	id := h.id("x")
	e.Publish(seqOf(1000), nil) // so that all that follows belongs behind the last page
	for page := range uint64(10) {
		for n := range 5 {
			e.Publish(numbered(n, 50), nil)
			e.Publish(numbered(n, 50), &Audience{Clients: []uint64{id}})
		}
		on(t, e, id, func(c *Client) {
			c.SendPage(nil, page)
			c.PinReplay()
		})
		everyLoop(t, e, func(l *Loop) {
			for _, m := range l.behind.replays {
				if most := l.opts.Slow.LagBytes + 64; m.Bytes() > most { // beside the largest
					t.Errorf("page %d: %d bytes are kept, %d may be", page, m.Bytes(), most)
				}
			}
		})
	}
}
