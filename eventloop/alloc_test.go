package eventloop

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// meter adds up what clients have read, and says when it is enough, without allocating.
type meter struct {
	bytes, want atomic.Int64
	enough      chan struct{}
	patience    *time.Timer
}

func (m *meter) add(n int) {
	if now, want := m.bytes.Add(int64(n)), m.want.Load(); now >= want && now-int64(n) < want {
		m.signal()
	}
}

func (m *meter) signal() {
	select {
	case m.enough <- struct{}{}:
	default:
	}
}

// expect returns when so many more bytes than the last time have been read.
func (m *meter) expect(t testing.TB, more int) {
	want := m.want.Add(int64(more))
	m.patience.Reset(patience)
	for m.bytes.Load() < want {
		select {
		case <-m.enough:
		case <-m.patience.C:
			t.Fatalf("%d bytes of %d came", m.bytes.Load(), want)
		}
	}
}

// metered has clients that read into one buffer each and allocate nothing.
func metered(t testing.TB, e *Engine, clients int) *meter {
	t.Helper()
	return meteredBy(t, e, clients, request)
}

// meteredBy is metered, with what the clients ask for.
func meteredBy(t testing.TB, e *Engine, clients int, request func(query string) string) *meter {
	t.Helper()
	m := &meter{enough: make(chan struct{}, 1), patience: time.NewTimer(patience)}
	for i := range clients {
		p, err := tryConnect(t, e, sourceAddr(i))
		must(t, err)
		must(t, p.SetDeadline(time.Now().Add(5*time.Minute)))
		p.Say(request(fmt.Sprint("name=", i)))
		p.Upgraded()
		done := make(chan struct{})
		t.Cleanup(func() { p.Close(); <-done })
		go func() {
			defer close(done)
			buf := make([]byte, 4096)
			for {
				n, err := p.R.Read(buf)
				if err != nil {
					return
				}
				m.add(n)
			}
		}()
	}
	return m
}

// mallocs is how many allocations the whole process makes while f runs.
func mallocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// A delivery allocates nothing: what a publication allocates is the same for one client and for a
// million. That is two for the frame and two for each wake-up; one for each delivery
// would be as many as there are clients.
func TestDeliveryAllocatesNothing(t *testing.T) {
	const messages, limit, tries = 100, 12, 10
	clients := 1000
	if wstest.RaceEnabled {
		clients = 100
	}
	for name, a := range map[string]*Audience{
		"to everyone": nil,
		"to a topic":  {Key: "topic"},
		"to a user":   {Label: LabelUser, Names: []string{"u"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, &host{})
			m := metered(t, e, clients)
			everyLoop(t, e, func(l *Loop) {
				l.fanout.sliceTime = time.Hour // or a busy machine would take several turns, which gnet allocates for
				for c := range l.openClients() {
					c.Subscribe("topic")
					l.clients.unlabel(c, LabelUser)
					l.clients.label(c, LabelUser, "u")
				}
			})
			everyone := func() bool { // is whom the audience has on some loop
				var some atomic.Bool
				everyLoop(t, e, func(l *Loop) {
					if l.isEveryone(a) {
						some.Store(true)
					}
				})
				return some.Load()
			}
			for a != nil && everyone() { // the kernel chooses a bystander's loop
				dial(t, e, "name=bystander")
			}
			payload := make([]byte, 100)
			publish := func(n int) {
				for range n {
					f := NewFrame(ws.OpBinary, payload)
					e.Publish(f, a)
					m.expect(t, clients*f.Size())
				}
			}
			publish(20) // send queues and slices that are reused
			spent := uint64(math.MaxUint64)
			for n := 0; n < tries && spent >= limit*messages; n++ { // what else goes on in the process counts too: the least is the truth
				spent = min(spent, mallocs(func() { publish(messages) }))
				t.Logf("%d allocations for %d deliveries", spent, messages*clients)
			}
			if spent >= limit*messages {
				t.Errorf("%d allocations for %d messages to %d clients, want less than %d for each message", spent, messages, clients, limit)
			}
		})
	}
}

// Nor does a control frame that is received, and answered.
func TestControlFramesAllocateNothing(t *testing.T) {
	const rounds, each = 40, 250
	for name, c := range map[string]struct {
		op     ws.OpCode
		answer int64
	}{
		"ping": {ws.OpPing, 2 + 8},
		"pong": {ws.OpPong, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, &host{})
			p := dial(t, e, "name=x")
			frames := []byte(strings.Repeat(clientFrame(c.op, "payload8"), each))
			last := []byte(clientFrame(ws.OpPing, "lastping"))
			answer := make([]byte, each*c.answer+2+8)
			send := func(n int) {
				for range n {
					_, err := p.Write(frames)
					must(t, err)
					_, err = p.Write(last)
					must(t, err)
					_, err = io.ReadFull(p.R, answer)
					must(t, err)
				}
			}
			send(2)
			spent := mallocs(func() { send(rounds) })
			for range 2 {
				spent = min(spent, mallocs(func() { send(rounds) }))
			}
			t.Logf("%d allocations for %d frames", spent, rounds*each)
			if got := float64(spent) / (rounds * each); got >= 0.01 {
				t.Errorf("%.4f allocations for a frame, want none", got)
			}
		})
	}
}

// A client is 128 bytes, which is a size class of the allocator: one byte more would cost
// each connection 16.
func TestClientSize(t *testing.T) {
	if got := unsafe.Sizeof(Client{}); got > 128 {
		t.Errorf("a Client takes %d bytes", got)
	}
}
