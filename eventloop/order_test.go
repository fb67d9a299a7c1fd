package eventloop

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// streamTest publishes to clients in every way there is, and knows what each should get.
type streamTest struct {
	e      *Engine
	h      *host
	random *rand.Rand
	names  []string
	want   map[string][]*Frame
	make   func(n, size int) *Frame // numbered, if nil
}

func (s *streamTest) frame(n int) *Frame {
	size := s.random.IntN(300)
	switch s.random.IntN(20) {
	case 0:
		size = s.random.IntN(40_000)
	case 1:
		size = 65_530 + s.random.IntN(10)
	}
	if s.make != nil {
		return s.make(n, size)
	}
	return numbered(n, size)
}

// publish is the n-th publication: to everyone, to a topic, to a user, to ids, by Send.
func (s *streamTest) publish(n int) {
	f := s.frame(n)
	name := s.names[s.random.IntN(len(s.names))]
	to := []string{name}
	switch s.random.IntN(6) {
	case 0, 1:
		s.e.Publish(f, nil)
		to = s.names
	case 2:
		s.e.Publish(f, &Audience{Key: "topic"})
		to = s.names
	case 3:
		s.e.Publish(f, &Audience{Label: LabelUser, Names: []string{"nobody", name}})
	case 4:
		s.e.Publish(f, &Audience{Clients: []uint64{s.h.id(name)}})
	case 5:
		s.e.Post(s.h.id(name), func(c *Client) { c.Send(f) })
	}
	for _, name := range to {
		s.want[name] = append(s.want[name], f)
	}
}

// expectStream reads in pieces of random sizes and compares every byte. Tiny windows make the
// kernel wait for longer and longer; what counts is that the next byte comes.
func expectStream(t *testing.T, p *peer, random *rand.Rand, want []*Frame) {
	expectStreamIn(t, p, random, want, delivery.AsIs)
}

func expectStreamIn(t *testing.T, p *peer, random *rand.Rand, want []*Frame, as delivery.Form) {
	left := make([]byte, 0, 128<<10)
	for i, f := range want {
		wire := string(f.In(as))
		for len(left) < len(wire) {
			_ = p.SetReadDeadline(time.Now().Add(2 * patience))
			n, err := p.R.Read(left[len(left):min(cap(left), len(left)+1+random.IntN(9000))])
			if err != nil {
				t.Errorf("frame %d of %d: %v", i, len(want), err)
				return
			}
			left = left[:len(left)+n]
		}
		if string(left[:len(wire)]) != wire {
			t.Errorf("frame %d of %d differs: got %q, want %q", i, len(want), brief(string(left)), brief(wire))
			return
		}
		left = left[:copy(left[:cap(left)], left[len(wire):])]
	}
}

// docs/protocol.md section 3, order: what one publisher published in an order, one client receives in
// that order, to the byte, whatever its audiences were and however slowly it is read.
func TestStreamsAreExact(t *testing.T) {
	t.Parallel()
	seeds, frames := 16, 400
	if wstest.RaceEnabled {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(seed), 11))
			s := &streamTest{h: &host{}, random: random, want: make(map[string][]*Frame)}
			s.e = start(t, s.h, lagFar, func(o *Options) {
				o.SendBuffer = 4096 << random.IntN(4)
				if seed%2 == 0 {
					o.NotSentLowat = 4096
				}
			})
			peers := make(map[string]*peer)
			for i := range 4 {
				name := fmt.Sprint("client", i)
				control := func(int) {}
				if i > 0 {
					control = wstest.SmallWindow
				}
				peers[name] = dial(t, s.e, "name="+name+"&user="+name, control)
				on(t, s.e, s.h.id(name), func(c *Client) { c.Subscribe("topic") })
				s.names = append(s.names, name)
			}
			var wg sync.WaitGroup
			for n := range frames {
				s.publish(n)
			}
			for i, name := range s.names {
				reads := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
				wg.Go(func() { expectStream(t, peers[name], reads, s.want[name]) })
			}
			wg.Wait()
		})
	}
}

// The same while clients read as it comes, from several publishers at once: each
// publisher's own order is kept.
func TestOrderOfEachPublisher(t *testing.T) {
	t.Parallel()
	const publishers, each = 4, 500
	h := &host{}
	e := start(t, h, lagFar)
	fast, slow := dial(t, e, "name=fast"), dial(t, e, "name=slow", wstest.SmallWindow, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, 1024)
	})
	var wg sync.WaitGroup
	for pub := range publishers {
		wg.Go(func() {
			for i := range each {
				f := numbered(pub*each+i, 100)
				if i%3 == 0 {
					e.Publish(f, &Audience{Clients: []uint64{h.id("fast"), h.id("slow")}})
				} else {
					e.Publish(f, nil)
				}
			}
		})
	}
	for _, p := range []*peer{fast, slow} {
		wg.Go(func() {
			var next [publishers]int
			for range publishers * each {
				f, err := p.Next()
				if err != nil || f.Header.OpCode != ws.OpText {
					t.Errorf("%v, %v", f.Header, err)
					return
				}
				n := number(f.Payload)
				if pub := n / each; n%each != next[pub] {
					t.Errorf("publisher %d: got its message %d, want %d", pub, n%each, next[pub])
					return
				}
				next[n/each]++
			}
		})
	}
	wg.Wait()
}
