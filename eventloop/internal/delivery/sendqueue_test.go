package delivery

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// owed is a frame that a client is still to get, as the model sees it: what was
// appended and queued first goes first.
type owed struct {
	*Frame
	feed bool // else it was for this client alone
}

// sendQueueTest is a broadcast log, the queue and position of one client, and what that client is owed.
type sendQueueTest struct {
	t      *testing.T
	log    BroadcastLog
	o      SendQueue
	pos    uint64
	budget *budget.Budget
	pieces [][]byte
	owed   []owed
	sent   int  // bytes of owed[0] that are out
	apart  bool // what is broadcast isn't owed
	held   bool // nothing goes out but the rest of owed[0]
	serial byte

	event  uint64 // the newest
	had    uint64 // the newest that has been sent, or told to be lost
	missed []*Frame

	version    uint64 // the newest of a row
	superseded int
	gaps       map[*Frame]Gap // by what tells of them
}

func newSendQueueTest(t *testing.T, as Form) *sendQueueTest {
	x := &sendQueueTest{t: t, budget: budget.New(0, nil, nil), gaps: make(map[*Frame]Gap)}
	x.o.Begin(x.budget, as)
	return x
}

func (x *sendQueueTest) frame(size int) *Frame {
	x.serial++
	f := FrameOf(bytes.Repeat([]byte{x.serial}, 2+size))
	if size%3 > 0 {
		f.twin = bytes.Repeat([]byte{^x.serial}, 1+size/2)
	}
	return f
}

// eventFrame is a frame for this client that is an event, if it may be one.
func (x *sendQueueTest) eventFrame(size int, may bool) *Frame {
	f := x.frame(size)
	if may && size%4 > 0 {
		x.event++
		f.Seq = x.event
	}
	return f
}

func (x *sendQueueTest) broadcast(size int) {
	f := x.eventFrame(size, true)
	x.log.Append(f)
	if !x.apart {
		x.owed = append(x.owed, owed{f, true})
	} else if f.Seq > 0 {
		x.missed = append(x.missed, f)
	}
}

func (x *sendQueueTest) queue(size int, asked bool) {
	f := x.eventFrame(size, !asked && !x.apart)
	x.log.PassEvent(f.Seq)
	x.o.Push(f, x.log.end, asked)
	x.owed = append(x.owed, owed{f, false})
}

// row queues a row's frame as for a client that lags, every other a snapshot, unless it doesn't fit.
func (x *sendQueueTest) row(size int) {
	x.t.Helper()
	x.version++
	f := x.frame(size * 4)
	f.Row = &RowPlace{Row: fmt.Sprint("row", size%3), Version: x.version, Snapshot: size%2 == 0}
	limit := []int{1500, 10_000}[size/2%2]
	fits, superseded := x.o.Fits(f, limit)
	if superseded > 0 || !fits {
		if n := x.supersede(f); n != superseded {
			x.t.Fatalf("%d frames are superseded, %d went", n, superseded)
		}
	}
	x.superseded += superseded
	switch {
	case fits && x.o.TooMuch(f.Size(), limit):
		x.t.Fatalf("%d bytes fit in behind %d, with a limit of %d", f.Size(), x.o.Bytes(), limit)
	case !fits && !x.o.TooMuch(f.Size(), limit-limit/8):
		x.t.Fatalf("%d bytes don't fit in behind %d, with a limit of %d", f.Size(), x.o.Bytes(), limit)
	case fits:
		x.o.Push(f, x.log.end, false)
		x.owed = append(x.owed, owed{f, false})
	}
}

// supersede leaves out of what is owed what rows' newer snapshots have, with f, and returns how much that was.
func (x *sendQueueTest) supersede(f *Frame) (n int) {
	newer := map[string]bool{f.Row.Row: f.Row.Snapshot}
	for i := len(x.owed) - 1; i >= 0; i-- {
		r := x.owed[i].Row
		switch {
		case r == nil || i == 0 && x.sent > 0:
		case newer[r.Row]:
			x.owed = slices.Delete(x.owed, i, i+1)
			n++
		default:
			newer[r.Row] = r.Snapshot
		}
	}
	return n
}

// loseNext loses an event before it is there.
func (x *sendQueueTest) loseNext() {
	if x.apart {
		return
	}
	x.event++
	x.log.PassEvent(x.event)
	if !x.o.Telling() {
		f := x.frame(0)
		x.gaps[f] = Gap{x.event, x.event}
		x.o.TellBehind(f, x.log.end, x.gaps[f])
		x.owed = append(x.owed, owed{f, false})
	} else {
		x.lose(func() { x.pos, _ = x.o.Lose(&x.log, x.pos, x.log.end, Gap{x.event, x.event}) })
	}
}

// lose has the client told of what do loses. What the model is owed then is what goes out; that it is right received
// says. It must be some of what was owed, in its order, and what was asked for is all there.
func (x *sendQueueTest) lose(do func()) {
	x.t.Helper()
	before, asked := x.owed, x.o.Asked()
	do()
	if x.o.Untold() {
		f := x.frame(0)
		x.gaps[f] = x.o.Lost(&x.log, x.pos)
		x.o.Tell(f, x.pos)
	}
	if x.o.Asked() != asked {
		x.t.Fatalf("%d bytes were asked for, %d are left", asked, x.o.Asked())
	}
	x.owed = nil
	if x.sent > 0 {
		x.owed = append(x.owed, before[0])
		before = before[1:]
	}
	for pos, head := x.pos, x.o.head; ; {
		f, own := x.o.next(&x.log, pos, head)
		if f == nil {
			break
		}
		if own {
			head++
		} else {
			pos++
		}
		x.owed = append(x.owed, owed{f, !own})
		if f == x.o.told {
			continue
		}
		at := slices.IndexFunc(before, func(was owed) bool { return was.Frame == f })
		if at < 0 {
			x.t.Fatal("something is owed that wasn't, or not in this order")
		}
		before = before[at+1:]
	}
}

// received is that the client is sent each event once, in their order, or told that it isn't, where it is missing.
func (x *sendQueueTest) received(f *Frame) {
	x.t.Helper()
	gap, tells := x.gaps[f]
	switch {
	case f.Seq > 0 && f.Seq != x.had+1:
		x.t.Fatalf("sent event %d behind %d", f.Seq, x.had)
	case f.Seq > 0:
		x.had = f.Seq
	case tells && (gap.From != x.had+1 || gap.To < x.had):
		x.t.Fatalf("told to have lost %+v behind %d", gap, x.had)
	case tells:
		x.had = gap.To
	}
}

// stop closes the client: it gets what has been broadcast so far and no more.
func (x *sendQueueTest) stop() {
	if !x.apart {
		x.o.StopAt(x.log.end)
	}
	x.apart = true
}

// hold has everything out and then keeps what is queued, until rejoin.
func (x *sendQueueTest) hold() {
	x.take(math.MaxInt)
	x.apart, x.held = true, true
	x.o.Pin()
}

// rejoin has everything out, and lets the client follow the broadcast log again.
func (x *sendQueueTest) rejoin() {
	x.held = false
	x.o.Unpin()
	x.take(math.MaxInt)
	for _, f := range x.missed {
		x.o.Push(f, x.log.end, true)
		x.owed = append(x.owed, owed{f, false})
	}
	x.apart, x.pos, x.missed = false, x.log.end, nil
	x.o.Follow()
}

// trim loses the oldest broadcasts of a client that follows; the frame in progress isn't
// lost. A closing client is never trimmed past: eventloop deals with that.
func (x *sendQueueTest) trim(keep int) {
	if x.apart {
		return
	}
	x.o.Mark(&x.log, x.pos)
	x.log.Trim(keep, func(uint64, *Frame) {})
	if x.pos < x.log.first {
		x.lose(func() {
			if keep%3 == 0 {
				x.pos, _ = x.o.LoseOldest(&x.log, x.pos, keep)
			}
			event, _ := x.log.Gone(x.pos)
			x.pos, _ = x.o.Lose(&x.log, x.pos, x.log.first, Gap{To: event})
		})
	}
}

// dropOldest loses the oldest of the client's own frames.
func (x *sendQueueTest) dropOldest(keep int) {
	if !x.apart {
		x.lose(func() { x.pos, _ = x.o.LoseOldest(&x.log, x.pos, keep) })
	}
}

func (x *sendQueueTest) bytes() []byte {
	var all []byte
	for _, f := range x.owed {
		all = append(all, f.In(x.o.form)...)
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
		return all[:len(x.owed[0].In(x.o.form))-x.sent]
	}
	return nil
}

func (x *sendQueueTest) take(n int) {
	want := x.next()
	n = min(n, len(want))
	x.pos, _ = x.o.Take(&x.log, x.pos, n)
	for x.sent += n; len(x.owed) > 0 && x.sent >= len(x.owed[0].In(x.o.form)); {
		x.sent -= len(x.owed[0].In(x.o.form))
		x.received(x.owed[0].Frame)
		x.owed = x.owed[1:]
	}
}

// check compares the bytes that would be sent next with what is owed.
func (x *sendQueueTest) check() {
	x.t.Helper()
	var size int
	x.pieces, size = Gather(x.pieces, func(p []byte) []byte { return p }, &x.o, &x.log, x.pos)
	got := slices.Concat(x.pieces...)
	want := x.next()
	if size != len(got) || !bytes.HasPrefix(want, got) {
		x.t.Fatalf("gathered %d bytes %.40x…; owed are %d: %.40x…", size, got, len(want), want)
	}
	if len(got) < len(want) && len(x.pieces) < gatherPieces && size < gatherBytes {
		x.t.Fatalf("gathered %d of %d bytes in %d pieces, without need", len(got), len(want), len(x.pieces))
	}
	if drained := x.o.Drained(&x.log, x.pos); drained != (len(x.bytes()) == 0) {
		x.t.Fatalf("drained is %v, %d bytes are owed", drained, len(x.bytes()))
	}
	x.checkCounts()
	if n, want := x.budget.Used(), int64(sendQueueBytes+cap(x.o.frames)*queuedBytes); n != want {
		x.t.Fatalf("the queue counts as %d, it takes %d", n, want)
	}
}

// end lets go of everything, which leaves nothing counted.
func (x *sendQueueTest) end() {
	x.t.Helper()
	x.o.End()
	if used := x.budget.Used(); used != 0 {
		x.t.Fatalf("%d bytes are left", used)
	}
}

func (x *sendQueueTest) checkCounts() {
	x.t.Helper()
	queued := map[bool]int{}
	for _, q := range x.o.frames[x.o.head:] {
		queued[q.asked] += len(q.frame.wire)
	}
	if o := &x.o; o.bytes != queued[false] || o.asked != queued[true] {
		x.t.Fatalf("%v bytes are queued (true: asked for), counted as %d and %d", queued, o.bytes, o.asked)
	}
}

// fuzzedOps bounds a life: each operation is checked against all that is owed.
const fuzzedOps = 2000

// FuzzSendQueue: whatever is broadcast, queued, sent in pieces, trimmed and stopped in
// whatever order, the bytes that come next are exactly those that are owed. It has few seeds: the
// fuzzer runs them first, one by one.
func FuzzSendQueue(f *testing.F) {
	for _, ops := range randomLives(30) {
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) { liveSendQueue(t, ops) })
}

func TestSendQueueRandomly(t *testing.T) {
	superseded := 0
	for _, ops := range randomLives(300) {
		superseded += liveSendQueue(t, ops)
	}
	if superseded == 0 {
		t.Error("no row was sent a newer snapshot of")
	}
}

func randomLives(n int) (lives [][]byte) {
	random := rand.New(rand.NewPCG(3, 4))
	for range n {
		ops := make([]byte, random.IntN(1200))
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		lives = append(lives, ops)
	}
	return lives
}

// liveSendQueue returns how many frames of rows were superseded.
func liveSendQueue(t *testing.T, ops []byte) int {
	as := AsIs
	if len(ops)%4 > 1 {
		as = Deflated
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
			if size < 64 {
				x.loseNext()
			} else {
				x.dropOldest(size * 4)
			}
		case 14:
			if size > 200 {
				x.stop()
			} else if size < 40 {
				x.hold()
			} else {
				x.row(size)
			}
		case 15:
			if size > 128 {
				x.rejoin()
			} else {
				x.row(size)
			}
		}
		x.check()
	}
	if x.apart {
		x.rejoin()
	}
	if x.take(math.MaxInt); x.had != x.event {
		t.Fatalf("%d is the newest event, and %d the newest that was sent or told to be lost", x.event, x.had)
	}
	x.end()
	return x.superseded
}

// A client that is always owed something, of whatever kind, keeps places for what it is owed
// and not for all that it ever was.
func TestQueueThatIsNeverEmpty(t *testing.T) {
	for name, asked := range map[string]bool{"sent": false, "asked for": true} {
		t.Run(name, func(t *testing.T) {
			x := newSendQueueTest(t, AsIs)
			const deep = 40
			for range deep {
				x.queue(1, asked)
			}
			for range 10_000 {
				x.queue(1, asked)
				x.take(3)
				x.check()
			}
			if n := cap(x.o.frames); n > 8*deep {
				t.Errorf("%d frames are owed, the queue has %d places", deep, n)
			}
			x.end()
		})
	}
}

// The end of a message of which the kernel has taken some stays what it was, in the form that
// its beginning went out in, or there is too much of it.
func TestShortenKeepsTheForm(t *testing.T) {
	const most = 4 << 10
	for _, as := range []Form{AsIs, Deflated} {
		for _, size := range []int{most / 2, most, 2 * most} {
			x := newSendQueueTest(t, as)
			f := FrameOf(bytes.Repeat([]byte{1}, 2*size))
			f.twin = bytes.Repeat([]byte{2}, size)
			x.owed = append(x.owed, owed{f, false})
			x.o.Push(f, 0, false)
			x.take(100)
			want := bytes.Clone(f.In(as)[100:])
			kept := x.o.Shorten(most)
			if kept != (len(want) <= most) {
				t.Errorf("form %d, %d bytes are left: kept is %t", as, len(want), kept)
			}
			x.check()
			if got := slices.Concat(x.pieces...); !bytes.Equal(got, want) {
				t.Errorf("form %d, %d bytes were left: %d other bytes go out", as, len(want), len(got))
			}
			x.end()
		}
	}
}

// Dropping the oldest spares what the client asked for.
func TestDropOldestSparesWhatWasAskedFor(t *testing.T) {
	x := newSendQueueTest(t, AsIs)
	for i := range 10 {
		x.o.Push(NewFrame(ws.OpText, fmt.Append(nil, i)), 0, i%2 == 0)
	}
	if got := x.o.DropOldest(2 * 3); got.Frames != 3 || x.o.Bytes() != 2*3 || x.o.Asked() != 5*3 {
		t.Fatalf("%d dropped, %d bytes and %d asked for left", got.Frames, x.o.Bytes(), x.o.Asked())
	}
	var left strings.Builder
	for x.o.Len() > 0 {
		left.Write(x.o.pop().Payload())
	}
	if left.String() != "0246789" {
		t.Fatalf("left: %s", left.String())
	}
	x.end()
}
