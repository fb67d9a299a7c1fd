package eventloop

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// owed is a frame that a client is still to get, as the model sees it: what was
// appended and queued first goes first.
type owed struct {
	*Frame
	feed bool // else it was for this client alone
}

// sendQueueTest is a loop, one client of it, and what that client is owed.
type sendQueueTest struct {
	t      *testing.T
	l      *Loop
	c      *Client
	owed   []owed
	sent   int  // bytes of owed[0] that are out
	apart  bool // what is broadcast isn't owed
	held   bool // nothing goes out but the rest of owed[0]
	serial byte
}

func newSendQueueTest(t *testing.T, as form) *sendQueueTest {
	l := &Loop{engine: &Engine{budget: budget.New(0, nil, nil)}}
	o := l.newSendQueue()
	o.form = as
	return &sendQueueTest{t: t, l: l, c: &Client{queue: o}}
}

func (x *sendQueueTest) frame(size int) *Frame {
	x.serial++
	f := &Frame{wire: bytes.Repeat([]byte{x.serial}, 2+size)}
	if size%3 > 0 {
		f.twin = bytes.Repeat([]byte{^x.serial}, 1+size/2)
	}
	return f
}

func (x *sendQueueTest) broadcast(size int) {
	f := x.frame(size)
	x.l.broadcasts.append(f)
	if !x.apart {
		x.owed = append(x.owed, owed{f, true})
	}
}

func (x *sendQueueTest) queue(size int, asked bool) {
	f := x.frame(size)
	if asked {
		x.c.queue.pushAsked(f, x.l.broadcasts.end)
	} else {
		x.c.queue.push(f, x.l.broadcasts.end)
	}
	x.owed = append(x.owed, owed{f, false})
}

func (x *sendQueueTest) queueFront(size int) {
	f := x.frame(size)
	x.c.queue.pushFront(f, x.c.pos)
	at := 0
	if x.sent > 0 {
		at = 1
	}
	x.owed = append(x.owed[:at:at], append([]owed{{f, false}}, x.owed[at:]...)...)
}

// stop closes the client: it gets what has been broadcast so far and no more.
func (x *sendQueueTest) stop() {
	if !x.apart {
		x.c.queue.stop = x.l.broadcasts.end
	}
	x.apart = true
}

// hold has everything out and then keeps what is queued, until rejoin.
func (x *sendQueueTest) hold() {
	x.take(math.MaxInt)
	x.apart, x.held, x.c.queue.stop, x.c.queue.pinned = true, true, 0, true
}

// rejoin has everything out, and lets the client follow the broadcast log again.
func (x *sendQueueTest) rejoin() {
	x.held, x.c.queue.pinned = false, false
	x.take(math.MaxInt)
	x.apart, x.c.queue.stop, x.c.pos = false, math.MaxUint64, x.l.broadcasts.end
}

// trim loses the oldest broadcasts of a client that follows; the frame in progress isn't
// lost. A closing client is never trimmed past: Loop.fellOff deals with that.
func (x *sendQueueTest) trim(keep int) {
	if x.apart {
		return
	}
	x.l.broadcasts.trim(keep)
	for x.c.pos < x.l.broadcasts.first {
		at := 0
		for at == 0 && x.sent > 0 || !x.owed[at].feed {
			at++
		}
		x.owed = append(x.owed[:at:at], x.owed[at+1:]...)
		x.c.pos++
	}
}

func (x *sendQueueTest) bytes() []byte {
	var all []byte
	for _, f := range x.owed {
		all = append(all, f.in(x.c.queue.form)...)
	}
	return all[x.sent:]
}

// next is what may go out of what is owed.
func (x *sendQueueTest) next() []byte {
	all := x.bytes()
	switch {
	case !x.held:
		return all
	case x.sent > 0:
		return all[:len(x.owed[0].in(x.c.queue.form))-x.sent]
	}
	return nil
}

func (x *sendQueueTest) take(n int) {
	want := x.next()
	n = min(n, len(want))
	x.c.pos, _ = x.c.queue.take(&x.l.broadcasts, x.c.pos, n)
	for x.sent += n; len(x.owed) > 0 && x.sent >= len(x.owed[0].in(x.c.queue.form)); {
		x.sent -= len(x.owed[0].in(x.c.queue.form))
		x.owed = x.owed[1:]
	}
}

// check compares the bytes that would be sent next with what is owed.
func (x *sendQueueTest) check() {
	x.t.Helper()
	size := x.l.gather(x.c)
	var got []byte
	for _, v := range x.l.pools.iov {
		got = append(got, unsafe.Slice(v.Base, v.Len)...)
	}
	want := x.next()
	if size != len(got) || !bytes.HasPrefix(want, got) {
		x.t.Fatalf("gathered %d bytes %.40x…; owed are %d: %.40x…", size, got, len(want), want)
	}
	if len(got) < len(want) && len(x.l.pools.iov) < pumpPieces && size < pumpBytes {
		x.t.Fatalf("gathered %d of %d bytes in %d pieces, without need", len(got), len(want), len(x.l.pools.iov))
	}
	if drained := x.c.queue.drained(&x.l.broadcasts, x.c.pos); drained != (len(x.bytes()) == 0) {
		x.t.Fatalf("drained is %v, %d bytes are owed", drained, len(x.bytes()))
	}
	x.checkCounts()
	if n, want := x.l.engine.budget.Used(), int64(sendQueueBytes+cap(x.c.queue.frames)*queuedBytes); n != want {
		x.t.Fatalf("the queue counts as %d, it takes %d", n, want)
	}
}

// end lets go of everything, which leaves nothing counted.
func (x *sendQueueTest) end() {
	x.t.Helper()
	x.l.freeSendQueue(x.c)
	if used := x.l.engine.budget.Used(); used != 0 {
		x.t.Fatalf("%d bytes are left", used)
	}
}

func (x *sendQueueTest) checkCounts() {
	x.t.Helper()
	queued := map[bool]int{}
	for _, q := range x.c.queue.frames[x.c.queue.head:] {
		queued[q.asked] += len(q.frame.wire)
	}
	if o := x.c.queue; o.bytes != queued[false] || o.asked != queued[true] {
		x.t.Fatalf("%v bytes are queued (true: asked for), counted as %d and %d", queued, o.bytes, o.asked)
	}
}

// fuzzedOps bounds a life: each operation is checked against all that is owed.
const fuzzedOps = 2000

// FuzzOutbox: whatever is broadcast, queued, sent in pieces, trimmed and stopped in
// whatever order, the bytes that come next are exactly those that are owed.
func FuzzSendQueue(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		ops := make([]byte, random.IntN(1200))
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		as := asIs
		if len(ops)%4 > 1 {
			as = deflated
		}
		x := newSendQueueTest(t, as)
		ops = ops[:min(len(ops), fuzzedOps)]
		for i := 0; i+1 < len(ops); i += 2 {
			size := int(ops[i+1])
			switch ops[i] & 15 {
			case 0, 1, 2, 3, 4:
				x.broadcast(size)
			case 5, 6, 7:
				x.queue(size, size%3 == 0)
			case 8, 9, 10, 11:
				x.take(size * 3)
			case 12:
				x.trim(size * 4)
			case 13:
				x.queueFront(size)
			case 14:
				if size > 200 {
					x.stop()
				} else if size < 40 {
					x.hold()
				}
			case 15:
				if size > 128 {
					x.rejoin()
				}
			}
			x.check()
		}
		x.end()
	})
}
