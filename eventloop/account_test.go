package eventloop

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// balance is what Stats says of deliveries.
type balance struct{ owed, delivered, lost, replaced uint64 }

func balanceOf(s Stats) (b balance) {
	b.owed, b.delivered = s.Owed, s.FramesDelivered
	for _, kinds := range s.Lost {
		for _, n := range kinds {
			b.lost += n
		}
	}
	for _, n := range s.Replaced {
		b.replaced += n
	}
	return b
}

func (b balance) missing() int64 { return int64(b.owed) - int64(b.delivered+b.lost+b.replaced) }

// What clients are owed is delivered, lost by a cause that is counted, or replaced, to the message: while some read
// slowly or not at all, leave with or without a word or are closed with messages owed to them, subscribe, replay, are
// told of losses, and while mailboxes overflow; with each policy. And what is owed is what was published, times clients.
func TestDeliveriesAddUp(t *testing.T) {
	for policy, name := range map[SlowPolicy]string{Disconnect: "disconnect", DropOldest: "drop-oldest", CatchUp: "catch-up"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storm(t, policy)
		})
	}
}

func storm(t *testing.T, policy SlowPolicy) {
	h := &host{
		onMessage: func(c *Client, _ ws.OpCode, p []byte) {
			switch word, rest, _ := strings.Cut(string(p), " "); word {
			case "subscribe":
				c.Subscribe(rest)
			case "ask":
				c.Send(text("%s", strings.Repeat("answer", 500)))
			}
		},
		onGap: func(_ *Client, lost Gap) *Frame { return text("gap %d %d", lost.From, lost.To) },
	}
	seq := uint64(0)
	h.onBehind = func(c *Client, since uint64) { c.PinReplay() }
	h.onDrained = func(c *Client) {
		if c.Open() {
			c.PinReplay()
			upTo := c.loop.broadcasts.EventBefore(c.loop.broadcasts.End())
			c.GoLive([]*Frame{numberedEvent(upTo, 100)}, upTo)
		}
	}
	e := start(t, h, func(o *Options) {
		o.Loops, o.SendBuffer = 2, 8192
		o.Memory.QueueMessages = 64
		o.Slow = SlowOptions{Policy: policy, LagBytes: 48 << 10, LagTime: time.Second}
	})
	random := rand.New(rand.NewPCG(1, uint64(policy)))
	var reading, stuck []*peer
	come := func(i int) {
		query := fmt.Sprintf("name=%d&user=u%d&tenant=t%d", i, i%3, i%2)
		if i%5 == 4 {
			query += "&hold"
		}
		if i%3 == 2 {
			stuck = append(stuck, dial(t, e, query, wstest.SmallWindow))
			return
		}
		p := dial(t, e, query)
		p.Send(ws.OpText, "subscribe row")
		reading = append(reading, p)
		go func() { // until the connection ends
			for {
				if _, err := p.Next(); err != nil {
					return
				}
			}
		}()
	}
	for i := range 12 {
		come(i)
	}
	var held chan struct{} // what the loops wait for, so that their mailboxes overflow
	for i := range 1500 {
		switch i {
		case 700:
			until := make(chan struct{})
			for _, l := range e.loops {
				l.post(entry{run: func(*Loop) { <-until }})
			}
			held = until
		case 900:
			close(held)
			held = nil
		}
		var f *Frame
		switch random.IntN(4) {
		case 0:
			seq++
			f = numberedEvent(seq, 200+random.IntN(3000))
		case 1:
			f = text("%s", strings.Repeat("topic", random.IntN(500)))
			f.Lossy, f.Kind = true, KindTopic
		case 2:
			f = text("%s", strings.Repeat("row", random.IntN(1000)))
			f.Kind = KindRow
			f.Row = &RowPlace{Row: "row", Version: uint64(i + 1), Snapshot: i%3 == 0}
		default:
			f = text("%s", strings.Repeat("binary", 1+random.IntN(300)))
			f.Kind = KindBinary
		}
		var to *Audience
		switch {
		case f.Row != nil:
			to = &Audience{Key: "row"}
		case random.IntN(3) == 0:
			to = &Audience{Label: LabelUser, Names: []string{fmt.Sprint("u", random.IntN(3))}}
		case random.IntN(4) == 0:
			to = &Audience{Label: LabelTenant, Names: []string{fmt.Sprint("t", random.IntN(2))}}
		}
		e.Queue(f, to)
		if random.IntN(40) == 0 {
			e.Flush()
		}
		switch random.IntN(60) {
		case 0:
			if held == nil {
				come(100 + i)
			}
		case 1:
			reading[random.IntN(len(reading))].Close()
		case 2:
			if len(stuck) > 0 {
				stuck[random.IntN(len(stuck))].Close()
			}
		case 3:
			p := reading[random.IntN(len(reading))]
			_, _ = p.Write([]byte(clientFrame(ws.OpText, "ask") + clientFrame(ws.OpPing, "x")))
		case 4:
			e.Lost(Gap{From: seq, To: seq}, nil, LossLog)
		case 5:
			h.mu.Lock()
			ids := slices.Collect(maps.Values(h.ids))
			h.mu.Unlock()
			e.Post(ids[random.IntN(len(ids))], func(c *Client) { c.Close(ws.StatusPolicyViolation, "bye", CauseServerClosed) })
		}
	}
	e.Flush()
	// Those who don't read go too, so that nothing waits.
	for _, p := range stuck {
		p.Close()
	}
	for _, p := range reading {
		p.Close()
	}
	eventually(t, "all have gone", func() bool { return e.Connections() == 0 })
	everyLoop(t, e, func(*Loop) {})
	var b balance
	eventually(t, "all is shown", func() bool {
		everyLoop(t, e, func(*Loop) {})
		b = balanceOf(e.Stats())
		return b.missing() == 0
	})
	s := e.Stats()
	for cause, where := range map[string]uint64{"mailbox": total(s.Lost["mailbox"]), "closed": total(s.Lost["closed"])} {
		if where == 0 {
			t.Errorf("nothing was lost by %s: that isn't a storm", cause)
		}
	}
	if b.delivered == 0 {
		t.Errorf("%+v: that isn't a storm", b)
	}
}

func total(byKind map[string]uint64) (n uint64) {
	for _, some := range byKind {
		n += some
	}
	return n
}

// What is owed is what was published, times the clients that it was for, whether it came through the mailbox or not.
func TestOwedIsPublishedTimesClients(t *testing.T) {
	t.Parallel()
	var told atomic.Uint64
	h := &host{onGap: func(*Client, Gap) *Frame { told.Add(1); return text("gap") }}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Memory.QueueMessages, o.Slow.Policy = 50, DropOldest })
	const clients, ofUser = 6, 2
	for i := range clients {
		dial(t, e, fmt.Sprintf("name=%d&user=u%d", i, i%(clients/ofUser)))
	}
	busy, entered := make(chan struct{}), make(chan struct{})
	e.loops[0].post(entry{run: func(*Loop) { close(entered); <-busy }})
	<-entered
	const everyone, some = 90, 60
	lossy := map[bool]int{}
	for i := range everyone + some {
		f := numberedEvent(uint64(i+1), 100)
		if i%3 == 0 {
			f = text("%d", i)
			f.Lossy, f.Kind = true, KindTopic
		}
		var to *Audience
		if i%5 < 2 {
			to = &Audience{Label: LabelUser, Names: []string{"u1"}}
		}
		lossy[f.Lossy]++
		e.Publish(f, to)
	}
	close(busy)
	var s Stats
	eventually(t, "all is accounted for", func() bool {
		everyLoop(t, e, func(*Loop) {})
		s = e.Stats()
		return balanceOf(s).missing() == 0 && s.Owed >= everyone*clients+some*ofUser
	})
	if want := everyone*clients + some*ofUser + told.Load(); s.Owed != want {
		t.Errorf("%d are owed, want %d and %d that tell of losses", s.Owed, want-told.Load(), told.Load())
	}
	dropped := s.Dropped["queue_lossy"] + s.Dropped["queue_other"]
	if dropped != everyone+some-50 || int(s.Dropped["queue_lossy"]) != lossy[true] {
		t.Errorf("%d were dropped of a mailbox of 50: %v", dropped, s.Dropped)
	}
	if lost := total(s.Lost["mailbox"]); lost != everyone*clients+some*ofUser-(s.FramesDelivered-told.Load()) || s.Lost["mailbox"]["topic"] == 0 || s.Lost["mailbox"]["change"] == 0 {
		t.Errorf("%d of them were lost in the mailbox: %v", lost, s.Lost)
	}
}

// What a client that is ended as too slow wasn't sent is lost by "slow", whatever let go of it first, and to the message
// what its close is remembered with: its Close is no loss, read or not.
func TestLossesOfASlowClientAgree(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes = 50_000 })
	reads := dial(t, e, "name=reads", wstest.SmallWindow)
	deaf := dial(t, e, "name=deaf", wstest.SmallWindow)
	for seq := uint64(1); len(closesOf(t, e)) < 2; seq++ {
		e.Publish(numberedEvent(seq, 5000), nil)
	}
	for {
		f, err := reads.Next()
		must(t, err)
		if f.Header.OpCode == ws.OpClose {
			break
		}
	}
	reads.Close()
	deaf.Close()
	eventually(t, "both have gone", func() bool { return e.Connections() == 0 })
	want := uint64(0)
	for _, r := range closesOf(t, e) {
		want += uint64(r.Messages)
	}
	var s Stats
	eventually(t, "all is shown", func() bool {
		everyLoop(t, e, func(*Loop) {})
		s = e.Stats()
		return balanceOf(s).missing() == 0
	})
	if got := s.Lost["slow"]["change"]; want == 0 || got != want || balanceOf(s).lost != want {
		t.Errorf("lost are %v, and %d by the closes", s.Lost, want)
	}
}
