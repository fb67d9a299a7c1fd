package eventloop

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// owed is a frame that a client is still to get, as the model sees it: what was
// appended and queued first goes first.
type owed struct {
	*Frame
	feed bool // else it was for this client alone
}

// outboxTest is a loop, one client of it, and what that client is owed.
type outboxTest struct {
	t      *testing.T
	l      *Loop
	c      *Client
	owed   []owed
	sent   int  // bytes of owed[0] that are out
	apart  bool // what is broadcast isn't owed
	held   bool // nothing goes out but the rest of owed[0]
	serial byte
	checks int
}

func newOutboxTest(t *testing.T, as form) *outboxTest {
	l := &Loop{account: account{ledger: &ledger{}}}
	l.holds, l.feed.account = newHolds(&l.account), &l.account
	o := l.newOutbox()
	o.form = as
	return &outboxTest{t: t, l: l, c: &Client{out: o}}
}

func (x *outboxTest) frame(size int) *Frame {
	x.serial++
	f := &Frame{wire: bytes.Repeat([]byte{x.serial}, 2+size)}
	if size%3 > 0 {
		f.twin = bytes.Repeat([]byte{^x.serial}, 1+size/2)
	}
	return f
}

func (x *outboxTest) broadcast(size int) {
	f := x.frame(size)
	x.l.account.hold(f)
	x.l.feed.append(f)
	if !x.apart {
		x.owed = append(x.owed, owed{f, true})
	}
}

func (x *outboxTest) queue(size int, asked bool) {
	f := x.frame(size)
	if asked {
		x.c.out.pushAsked(f, x.l.feed.end)
	} else {
		x.c.out.push(f, x.l.feed.end)
	}
	x.owed = append(x.owed, owed{f, false})
}

func (x *outboxTest) queueFront(size int) {
	f := x.frame(size)
	x.c.out.pushFront(f, x.c.pos)
	at := 0
	if x.sent > 0 {
		at = 1
	}
	x.owed = append(x.owed[:at:at], append([]owed{{f, false}}, x.owed[at:]...)...)
}

// stop closes the client: it gets what has been broadcast so far and no more.
func (x *outboxTest) stop() {
	if !x.apart {
		x.c.out.stop = x.l.feed.end
	}
	x.apart = true
}

// hold has everything out and then keeps what is queued, until rejoin.
func (x *outboxTest) hold() {
	x.take(math.MaxInt)
	x.apart, x.held, x.c.out.stop, x.c.out.sealed = true, true, 0, true
}

// rejoin has everything out, and lets the client follow the feed again.
func (x *outboxTest) rejoin() {
	x.held, x.c.out.sealed = false, false
	x.take(math.MaxInt)
	x.apart, x.c.out.stop, x.c.pos = false, math.MaxUint64, x.l.feed.end
}

// trim loses the oldest broadcasts of a client that follows; the frame in progress isn't
// lost. A closing client is never trimmed past: Loop.fellOff deals with that.
func (x *outboxTest) trim(keep int) {
	if x.apart {
		return
	}
	x.l.feed.trim(keep)
	for x.c.pos < x.l.feed.first {
		at := 0
		for at == 0 && x.sent > 0 || !x.owed[at].feed {
			at++
		}
		x.owed = append(x.owed[:at:at], x.owed[at+1:]...)
		x.c.pos++
	}
}

func (x *outboxTest) bytes() []byte {
	var all []byte
	for _, f := range x.owed {
		all = append(all, f.in(x.c.out.form)...)
	}
	return all[x.sent:]
}

// next is what may go out of what is owed.
func (x *outboxTest) next() []byte {
	all := x.bytes()
	switch {
	case !x.held:
		return all
	case x.sent > 0:
		return all[:len(x.owed[0].in(x.c.out.form))-x.sent]
	}
	return nil
}

func (x *outboxTest) take(n int) {
	want := x.next()
	n = min(n, len(want))
	x.c.pos, _ = x.c.out.take(&x.l.feed, x.c.pos, n)
	for x.sent += n; len(x.owed) > 0 && x.sent >= len(x.owed[0].in(x.c.out.form)); {
		x.sent -= len(x.owed[0].in(x.c.out.form))
		x.owed = x.owed[1:]
	}
}

// check compares the bytes that would be sent next with what is owed.
func (x *outboxTest) check() {
	x.t.Helper()
	size := x.l.gather(x.c)
	var got []byte
	for _, v := range x.l.iov {
		got = append(got, unsafe.Slice(v.Base, v.Len)...)
	}
	want := x.next()
	if size != len(got) || !bytes.HasPrefix(want, got) {
		x.t.Fatalf("gathered %d bytes %.40x…; owed are %d: %.40x…", size, got, len(want), want)
	}
	if len(got) < len(want) && len(x.l.iov) < pumpPieces && size < pumpBytes {
		x.t.Fatalf("gathered %d of %d bytes in %d pieces, without need", len(got), len(want), len(x.l.iov))
	}
	if drained := x.c.out.drained(&x.l.feed, x.c.pos); drained != (len(x.bytes()) == 0) {
		x.t.Fatalf("drained is %v, %d bytes are owed", drained, len(x.bytes()))
	}
	x.checkCounts()
	if x.checks++; x.checks%16 == 0 {
		x.checkLedger()
	}
}

// checkLedger compares the ledger with what there is: frames that the feed or the parked outbox
// keeps, each once, and what it takes to remember the client's.
func (x *outboxTest) checkLedger() {
	x.t.Helper()
	kept := make(map[*Frame]bool)
	for pos := x.l.feed.first; pos < x.l.feed.end; pos++ {
		kept[x.l.feed.at(pos)] = true
	}
	queues := int64(0)
	if o := x.c.out; o.parked {
		queues = outboxBytes
		for _, q := range o.queue[o.head:] {
			kept[q.frame] = true
			queues += queuedBytes
		}
		if o.part != nil {
			kept[o.part] = true
			queues += queuedBytes
		}
	}
	frames := int64(0)
	for f := range kept {
		frames += f.footprint()
	}
	x.l.account.settle()
	held := &x.l.account.ledger.held
	if held[heldFrames].Load() != frames || held[heldQueues].Load() != queues {
		x.t.Fatalf("%d bytes of frames and %d for queues are on the ledger, there are %d and %d",
			held[heldFrames].Load(), held[heldQueues].Load(), frames, queues)
	}
}

// end lets go of everything, which leaves nothing on the ledger.
func (x *outboxTest) end() {
	x.t.Helper()
	x.checkLedger()
	x.l.freeOutbox(x.c)
	x.l.feed.forget()
	x.l.account.settle()
	if used := x.l.account.ledger.used(); used != 0 || len(x.l.holds.refs) != 0 {
		x.t.Fatalf("%d bytes and %d frames are left", used, len(x.l.holds.refs))
	}
}

func (x *outboxTest) checkCounts() {
	x.t.Helper()
	queued := map[bool]int{}
	for _, q := range x.c.out.queue[x.c.out.head:] {
		queued[q.asked] += len(q.frame.wire)
	}
	if o := x.c.out; o.bytes != queued[false] || o.asked != queued[true] {
		x.t.Fatalf("%v bytes are queued (true: asked for), counted as %d and %d", queued, o.bytes, o.asked)
	}
}

// fuzzedOps bounds a life: each operation is checked against all that is owed.
const fuzzedOps = 2000

// FuzzOutbox: whatever is broadcast, queued, sent in pieces, trimmed and stopped in
// whatever order, the bytes that come next are exactly those that are owed.
func FuzzOutbox(f *testing.F) {
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
		x := newOutboxTest(t, as)
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
				} else if size > 64 {
					x.c.out.park()
				}
			}
			x.check()
		}
		x.end()
	})
}
