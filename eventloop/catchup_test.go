package eventloop

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// slowLog is a change log, and what else was published, for clients of two users. Everything that is published has a
// number of its own, an event its place in events as its seq.
type slowLog struct {
	t      *testing.T
	e      *Engine
	random *rand.Rand

	mu     sync.Mutex
	events []*Frame
	only   []string       // whom an event is for, empty: everyone
	seqs   map[int]uint64 // of events, by their numbers
	count  int
	pages  sync.WaitGroup
}

// publish publishes something of up to size bytes: for everyone or one user, mostly events.
func (g *slowLog) publish(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
	f, user := numbered(g.count, g.random.IntN(size)), []string{"", "", "u", "v"}[g.random.IntN(4)]
	var a *Audience
	if user != "" {
		a = &Audience{Label: LabelUser, Names: []string{user}}
	}
	if g.random.IntN(8) > 0 {
		g.events, g.only = append(g.events, f), append(g.only, user)
		f.Seq = uint64(len(g.events))
		g.seqs[g.count] = f.Seq
	}
	g.e.Publish(f, a)
}

// forUser are the seqs of events for a user's clients in (since, upTo].
func (g *slowLog) forUser(user string, since, upTo uint64) (seqs []uint64) {
	for seq := since + 1; seq <= upTo; seq++ {
		if to := g.only[seq-1]; to == "" || to == user {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

// pageOf reads on for a client that is behind, as a hub does.
func (g *slowLog) pageOf(c *Client, user string) {
	const most = 30
	c.PinReplay()
	id, since := c.ID(), c.Data.(uint64)
	g.pages.Go(func() {
		g.mu.Lock()
		upTo := min(since+most, uint64(len(g.events)))
		all := upTo == uint64(len(g.events))
		var page []*Frame
		for _, seq := range g.forUser(user, since, upTo) {
			page = append(page, g.events[seq-1])
		}
		g.mu.Unlock()
		g.e.Post(id, func(c *Client) {
			c.Data = upTo
			if all {
				c.GoLive(page, upTo)
			} else {
				c.SendPage(page, upTo)
			}
		})
	})
}

// slowReader reads when it is allowed to, and keeps what it was sent.
type slowReader struct {
	p     *peer
	user  string
	turns chan int // how many messages it may read; closed: all
	done  chan struct{}

	numbers []int
	gaps    int // that named events
	had     uint64
	failed  string
}

func (r *slowReader) read(g *slowLog, end int) {
	defer close(r.done)
	for n := range r.turns {
		for ; n > 0 && !r.over(end); n-- {
			r.next(g)
		}
	}
	for !r.over(end) {
		r.next(g)
	}
}

func (r *slowReader) over(end int) bool {
	return r.failed != "" || len(r.numbers) > 0 && r.numbers[len(r.numbers)-1] == end
}

// next takes a message: each event for the client comes once and in its order, or in a gap in its place.
func (r *slowReader) next(g *slowLog) {
	f, err := r.p.Next()
	if err != nil {
		r.failed = err.Error()
		return
	}
	fail := func(format string, args ...any) { r.failed = fmt.Sprintf(format, args...) }
	g.mu.Lock()
	defer g.mu.Unlock()
	var from, to uint64
	if n, _ := fmt.Sscanf(string(f.Payload), "gap %d %d", &from, &to); n == 2 {
		if missing := g.forUser(r.user, r.had, max(from, 1)-1); len(missing) > 0 || from <= r.had && from <= to {
			fail("told of a gap from %d to %d behind %d, without %d", from, to, r.had, missing)
		}
		if from <= to {
			r.gaps++
			r.had = to
		}
		return
	}
	number := number(f.Payload)
	if len(r.numbers) > 0 && number <= r.numbers[len(r.numbers)-1] {
		fail("message %d behind %d", number, r.numbers[len(r.numbers)-1])
	}
	r.numbers = append(r.numbers, number)
	if seq := g.seqs[number]; seq > 0 {
		if missing := g.forUser(r.user, r.had, seq-1); len(missing) > 0 || seq <= r.had {
			fail("event %d behind %d, without %d", seq, r.had, missing)
		}
		r.had = seq
	}
}

// docs/protocol.md section 3, gap, and -slow: clients that read now and then are sent each event once and in order with
// catch-up, with drop-oldest that or a gap in its place, and nothing grows over its bounds, whatever the pace.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	for policy, name := range map[SlowPolicy]string{DropOldest: "drop-oldest", CatchUp: "catch-up"} {
		for round := range 6 {
			t.Run(fmt.Sprint(name, round), func(t *testing.T) {
				t.Parallel()
				slowRound(t, policy, round)
			})
		}
	}
}

func slowRound(t *testing.T, policy SlowPolicy, round int) {
	const lag, size, messages = 30_000, 3000, 600
	g := &slowLog{t: t, random: rand.New(rand.NewPCG(uint64(round), 5)), seqs: make(map[int]uint64)}
	users := make(map[uint64]string)
	h := &host{onBehind: func(c *Client, since uint64) { c.Data = since }}
	h.onDrained = func(c *Client) { g.pageOf(c, users[c.ID()]) }
	h.onGap = func(_ *Client, lost Gap) *Frame { return text("gap %d %d", lost.From, lost.To) }
	e := start(t, h, oneSmallLoop, func(o *Options) {
		o.Slow.Policy, o.Slow.LagBytes = policy, lag
		if round%3 == 2 { // events are lost on their way to the loop too
			o.Memory.QueueMessages = 10
		}
	})
	g.e = e
	var readers []*slowReader
	for _, user := range []string{"u", "v"} {
		r := &slowReader{p: dial(t, e, "user="+user+"&name="+user, wstest.SmallWindow), user: user,
			turns: make(chan int, messages), done: make(chan struct{})}
		users[h.id(user)] = user
		readers = append(readers, r)
	}
	for _, r := range readers {
		go r.read(g, messages+1)
	}
	for n := range messages {
		g.publish(size)
		if n%(2+8*(round%3)) == 0 {
			g.checkBounds(lag, size)
		}
		if g.random.IntN(40) == 0 {
			readers[g.random.IntN(2)].turns <- g.random.IntN(60)
		}
	}
	for _, r := range readers {
		close(r.turns)
	}
	// What comes last is for both, and not an event: it is behind all of them.
	for g.count = messages + 1; ; {
		everyLoop(t, e, func(*Loop) {})
		if !e.Publish(numbered(messages+1, 0), nil).Any() {
			break
		}
	}
	gaps := 0
	for _, r := range readers {
		<-r.done
		gaps += r.gaps
		if missing := g.forUser(r.user, r.had, uint64(len(g.events))); len(missing) > 0 && r.failed == "" {
			r.failed = fmt.Sprintf("at the end %d are missing", missing)
		}
		if r.failed != "" {
			t.Errorf("client of %s: %s", r.user, r.failed)
		}
	}
	g.pages.Wait()
	switch s := e.Stats(); {
	case s.Panics > 0:
		t.Errorf("%d panics", s.Panics)
	case policy == CatchUp && (s.LagReplays == 0 || gaps > 0):
		t.Errorf("%d times somebody was behind, and %d gaps were told", s.LagReplays, gaps)
	case policy == DropOldest && gaps == 0:
		t.Error("nothing was lost: nothing is shown")
	}
}

// checkBounds: whoever doesn't read has no more waiting than may.
func (g *slowLog) checkBounds(lag, size int) {
	everyLoop(g.t, g.e, func(l *Loop) {
		for slot, c := range l.clients.slots {
			if c == nil || c.state != open {
				continue
			}
			bytes := 0
			if c.queue != nil {
				bytes += int(c.queue.Size())
			}
			if m := l.behind.replays[uint32(slot)]; m != nil {
				bytes += m.Bytes() + m.Asked()
			}
			if most := 2*lag + 32*size; bytes > most {
				g.t.Errorf("%d bytes wait for a client, %d may", bytes, most)
			}
		}
	})
}
