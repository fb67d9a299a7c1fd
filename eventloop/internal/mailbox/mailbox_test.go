package mailbox

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// thing is a frame or a task's number.
type thing struct {
	frame *frame
	task  uint64
}

type frame struct {
	size  int
	lossy bool
}

func count(d *Dropped, f *frame) {
	if f.lossy {
		d.Lossy++
	} else {
		d.Reliable++
	}
}

// naiveBox says what a mailbox should do in the plainest way.
type naiveBox struct {
	items               []any // *frame or a task's number
	writable            []uint32
	maxFrames, maxBytes int
	told                bool // since the last take
}

func (n *naiveBox) size() (frames, bytes int) {
	for _, item := range n.items {
		if f, ok := item.(*frame); ok {
			frames++
			bytes += f.size
		}
	}
	return frames, bytes
}

func (n *naiveBox) tell() bool {
	wake := !n.told
	n.told = true
	return wake
}

func (n *naiveBox) oldest(lossy bool) int {
	return slices.IndexFunc(n.items, func(item any) bool {
		f, ok := item.(*frame)
		return ok && (f.lossy || !lossy)
	})
}

func (n *naiveBox) put(f *frame, more bool) (d Dropped, wake bool) {
	if f.size > n.maxBytes {
		count(&d, f)
		return d, n.tell() // clients are told that they have missed it
	}
	for {
		if frames, bytes := n.size(); frames < n.maxFrames && bytes+f.size <= n.maxBytes {
			break
		}
		i := n.oldest(true)
		if i < 0 && f.lossy {
			count(&d, f)
			return d, false
		}
		if i < 0 {
			i = n.oldest(false)
		}
		count(&d, n.items[i].(*frame))
		n.items = slices.Delete(n.items, i, i+1)
	}
	n.items = append(n.items, f)
	frames, bytes := n.size()
	if more && frames <= n.maxFrames/2 && bytes <= n.maxBytes/2 {
		return d, false
	}
	return d, n.tell()
}

// mailboxTest drives a mailbox and its model alike.
type mailboxTest struct {
	t        *testing.T
	box      Box[thing]
	naive    naiveBox
	tasks    uint64
	items    []Item[thing]
	writable []uint32
}

func (m *mailboxTest) put(size int, lossy, more bool) {
	f := &frame{size: size, lossy: lossy}
	dropped, wake := m.box.Put(thing{frame: f}, size, lossy, more)
	wantDropped, wantWake := m.naive.put(f, more)
	if dropped != wantDropped || wake != wantWake {
		m.t.Fatalf("put of %d bytes, lossy %v, more %v: dropped %+v, wake %v; want %+v, %v",
			size, lossy, more, dropped, wake, wantDropped, wantWake)
	}
}

func (m *mailboxTest) tell() {
	want := len(m.naive.items)+len(m.naive.writable) > 0 && m.naive.tell()
	if wake := m.box.Tell(); wake != want {
		m.t.Fatalf("tell: wake %v, want %v", wake, want)
	}
}

func (m *mailboxTest) task() {
	m.tasks++
	want := m.naive.tell()
	m.naive.items = append(m.naive.items, m.tasks)
	if wake := m.box.PutTask(thing{task: m.tasks}); wake != want {
		m.t.Fatalf("task: wake %v, want %v", wake, want)
	}
}

func (m *mailboxTest) writableSlot(slot uint32) {
	want := m.naive.tell()
	m.naive.writable = append(m.naive.writable, slot)
	if wake := m.box.PutWritable(slot); wake != want {
		m.t.Fatalf("writable: wake %v, want %v", wake, want)
	}
}

// take compares all that is in the two, and hands the slices back as a loop does.
func (m *mailboxTest) take() {
	m.items, m.writable = m.box.Take(m.items, m.writable)
	var got []any
	for i, item := range m.items {
		switch e := item.Value; {
		case !item.Live():
		case e.frame != nil:
			got = append(got, e.frame)
		default:
			got = append(got, e.task)
		}
		m.items[i] = Item[thing]{}
	}
	if !slices.Equal(got, m.naive.items) || !slices.Equal(m.writable, m.naive.writable) {
		m.t.Fatalf("took %d things and %v, want %d and %v", len(got), m.writable, len(m.naive.items), m.naive.writable)
	}
	m.naive.items, m.naive.writable, m.naive.told = nil, nil, false
}

func (m *mailboxTest) depth() {
	frames, bytes := m.box.Depth()
	wantFrames, wantBytes := m.naive.size()
	if frames != wantFrames || bytes != wantBytes {
		m.t.Fatalf("depth %d frames, %d bytes; want %d, %d", frames, bytes, wantFrames, wantBytes)
	}
	if frames > m.box.MaxMessages || bytes > m.box.MaxBytes {
		m.t.Fatalf("%d frames, %d bytes: over the bound", frames, bytes)
	}
}

// FuzzMailbox: oldest lossy first, the incoming one included, then the oldest of all;
// order kept, tasks never dropped, woken once between two takes, and with more to come not
// before the queue is half full.
func FuzzMailbox(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		ops := make([]byte, 2+random.IntN(1500))
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) < 2 {
			return
		}
		m := &mailboxTest{t: t}
		m.box.Drop = func(thing) {}
		m.box.MaxMessages, m.box.MaxBytes = 1+int(ops[0]), 1+8*int(ops[1])
		m.naive.maxFrames, m.naive.maxBytes = m.box.MaxMessages, m.box.MaxBytes
		for i, op := range ops[2:min(len(ops), 4096)] {
			switch size := 2 + int(op>>3); op & 7 {
			case 0:
				m.task()
			case 1:
				m.writableSlot(uint32(op))
			case 2:
				if size > 24 {
					m.take()
				}
			case 3:
				m.put(size*(1+i%200), false, false)
			case 4, 5:
				m.put(size, true, size&1 == 0)
			case 6:
				m.put(size, false, false)
			default:
				m.put(size, false, size&3 != 0)
				if size&8 != 0 {
					m.tell()
				}
			}
			m.depth()
		}
		m.take()
	})
}

// A message that can't ever fit must not push out what does.
func TestMessageThatIsTooLarge(t *testing.T) {
	box := Box[thing]{MaxMessages: 10, MaxBytes: 100, Drop: func(thing) {}}
	small := &frame{size: 10}
	box.Put(thing{frame: small}, 10, false, false)
	dropped, wake := box.Put(thing{frame: &frame{size: 101}}, 101, false, false)
	if dropped != (Dropped{Reliable: 1}) || wake {
		t.Errorf("dropped %+v, wake %v; want the large one alone, no wake", dropped, wake)
	}
	if items, _ := box.Take(nil, nil); len(items) != 1 || items[0].Value.frame != small {
		t.Errorf("%d items left, want the small one", len(items))
	}
}

// Everything before items[lossyFrom] is not searched again: a full box costs the same
// for the millionth put as for the first, in time and in memory.
func TestBoxStaysBoundedWithoutATaker(t *testing.T) {
	box := Box[thing]{MaxMessages: 64, MaxBytes: 1 << 20, Drop: func(thing) {}}
	for range 100_000 {
		box.Put(thing{frame: &frame{size: 4, lossy: true}}, 4, true, false)
	}
	if places := cap(box.items); places > 1024 {
		t.Errorf("64 messages take %d places", places)
	}
}

// Whatever is put is taken once or dropped once, also when the taker has ended.
func TestNothingIsForgotten(t *testing.T) {
	var dropped []*frame
	box := Box[thing]{MaxMessages: 2, MaxBytes: 100, Drop: func(e thing) { dropped = append(dropped, e.frame) }}
	var put []*frame
	for i := range 6 {
		f := &frame{size: 1 + i}
		put = append(put, f)
		if i == 4 {
			for _, item := range box.End() {
				if item.Live() {
					dropped = append(dropped, item.Value.frame)
				}
			}
		}
		box.Put(thing{frame: f}, f.size, false, false)
	}
	if !slices.Equal(dropped, put) {
		t.Errorf("%d of %d, or in another order", len(dropped), len(put))
	}
}
