package eventloop

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// sourceAddr spreads connections over addresses, so that ports don't run out.
func sourceAddr(i int) net.IP { return net.IPv4(127, 0, 1, byte(1+i%200)) }

// liveHeap is what is reachable, in bytes.
func liveHeap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// readersOf connects clients that read all the time and check numbers; got counts
// messages, wrong those that came in another order.
func readersOf(t *testing.T, e *Engine, count int) (got, wrong *atomic.Int64) {
	t.Helper()
	got, wrong = new(atomic.Int64), new(atomic.Int64)
	for i := range count {
		p, err := tryConnect(t, e, sourceAddr(i))
		must(t, err)
		must(t, p.SetDeadline(time.Now().Add(5*time.Minute)))
		p.Say(request(fmt.Sprint("name=reader", i)))
		p.Upgraded()
		done := make(chan struct{})
		t.Cleanup(func() { p.Close(); <-done })
		go func() {
			defer close(done)
			for want := 1; ; want++ {
				h, err := ws.ReadHeader(p.R)
				if err != nil {
					return
				}
				var payload [9]byte
				if _, err = io.ReadFull(p.R, payload[:]); err != nil {
					return
				}
				if _, err = p.R.Discard(int(h.Length) - len(payload)); err != nil {
					return
				}
				if number(payload[:]) != want {
					wrong.Add(1)
				}
				got.Add(1)
			}
		}()
	}
	return got, wrong
}

// Clients that stop reading neither delay nor lose anything for those that read, and
// cost a bounded amount of memory: not what they are owed.
func TestStalledClientsHurtNobodyElse(t *testing.T) {
	stalled, reading := 200, 1000
	if wstest.RaceEnabled {
		stalled, reading = 20, 100
	}
	for _, policy := range []SlowPolicy{Disconnect, DropOldest} {
		t.Run(fmt.Sprintf("policy=%d", policy), func(t *testing.T) {
			h := &host{onLoss: func(*Client) *Frame { return NewFrame(ws.OpText, []byte("lost")) }}
			e := start(t, h, func(o *Options) {
				o.SendBuffer, o.Slow.LagBytes, o.Slow.LagTime, o.Slow.Policy = 16<<10, 256<<10, time.Second, policy
			})
			for i := range stalled {
				dial(t, e, fmt.Sprint("name=stalled", i), wstest.SmallWindow)
			}
			got, wrong := readersOf(t, e, reading)
			before := liveHeap()
			const rounds, each, size = 30, 10, 4000
			worst, grown := time.Duration(0), 0
			for round := range rounds {
				began := time.Now()
				for i := range each {
					if d := e.Publish(numbered(1+round*each+i, size), nil); d.Any() {
						t.Fatalf("dropped %+v", d)
					}
				}
				want := int64(reading * each * (1 + round))
				eventually(t, "all readers have the round", func() bool { return got.Load() == want })
				worst = max(worst, time.Since(began))
				if round%10 == 9 {
					grown = max(grown, liveHeap()-before)
				}
			}
			if wrong.Load() > 0 {
				t.Errorf("%d messages were out of order or missing", wrong.Load())
			}
			if limit := 10 * time.Second; worst > limit {
				t.Errorf("a round of %d messages took %v, at most %v is fine", each, worst, limit)
			}
			// The broadcast logs keep LagBytes for each loop, a stalled client some hundred bytes and
			// one frame in progress; a copy for each would be rounds·each·size·stalled = 240 MB.
			if bound := 4 << 20; grown > bound {
				t.Errorf("memory grew by %d bytes, at most %d is fine", grown, bound)
			}
			t.Logf("worst round %v, memory grew by %d KB", worst, grown>>10)
			expectPolicy(t, e, policy, stalled, reading)
		})
	}
}

func expectPolicy(t *testing.T, e *Engine, policy SlowPolicy, stalled, reading int) {
	t.Helper()
	if policy == Disconnect {
		eventually(t, "the stalled ones are closed and counted", func() bool {
			return closedBy(e, CauseSlow) == stalled && e.Clients() == reading
		})
		return
	}
	lagging, lost := 0, 0
	for _, l := range e.Stats().Loops {
		lagging, lost = lagging+l.Lagging, lost+int(l.LagDropped)
	}
	if lagging != stalled || lost < stalled || e.Clients() != stalled+reading {
		t.Errorf("%d lag, %d messages lost, %d clients: want %d, some for each, %d",
			lagging, lost, e.Clients(), stalled, stalled+reading)
	}
}
