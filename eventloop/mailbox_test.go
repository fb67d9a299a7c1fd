package eventloop

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// naiveBox says what a mailbox should do in the plainest way.
type naiveBox struct {
	items               []any // *Frame or a task's number
	writable            []uint32
	maxFrames, maxBytes int
	told                bool // since the last take
}

func (n *naiveBox) size() (frames, bytes int) {
	for _, item := range n.items {
		if f, ok := item.(*Frame); ok {
			frames++
			bytes += f.Size()
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
		f, ok := item.(*Frame)
		return ok && (f.Lossy || !lossy)
	})
}

func (n *naiveBox) put(f *Frame, more bool) (d Dropped, wake bool) {
	if f.Size() > n.maxBytes {
		d.count(f)
		return d, n.tell() // clients are told that they have missed it
	}
	for {
		if frames, bytes := n.size(); frames < n.maxFrames && bytes+f.Size() <= n.maxBytes {
			break
		}
		i := n.oldest(true)
		if i < 0 && f.Lossy {
			d.count(f)
			return d, false
		}
		if i < 0 {
			i = n.oldest(false)
		}
		d.count(n.items[i].(*Frame))
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
	box      mailbox
	naive    naiveBox
	tasks    uint64
	entries  []entry
	writable []uint32
}

func (m *mailboxTest) put(size int, lossy, more bool) {
	f := &Frame{wire: make([]byte, size), Lossy: lossy}
	dropped, wake := m.box.putFrame(f, nil, more)
	wantDropped, wantWake := m.naive.put(f, more)
	if dropped != wantDropped || wake != wantWake {
		m.t.Fatalf("put of %d bytes, lossy %v, more %v: dropped %+v, wake %v; want %+v, %v",
			size, lossy, more, dropped, wake, wantDropped, wantWake)
	}
}

func (m *mailboxTest) tell() {
	want := len(m.naive.items)+len(m.naive.writable) > 0 && m.naive.tell()
	if wake := m.box.tell(); wake != want {
		m.t.Fatalf("tell: wake %v, want %v", wake, want)
	}
}

func (m *mailboxTest) task() {
	m.tasks++
	want := m.naive.tell()
	m.naive.items = append(m.naive.items, m.tasks)
	if wake := m.box.putTask(task{client: func(*Client) {}, id: m.tasks}); wake != want {
		m.t.Fatalf("task: wake %v, want %v", wake, want)
	}
}

func (m *mailboxTest) writableSlot(slot uint32) {
	want := m.naive.tell()
	m.naive.writable = append(m.naive.writable, slot)
	if wake := m.box.putWritable(slot); wake != want {
		m.t.Fatalf("writable: wake %v, want %v", wake, want)
	}
}

// take compares all that is in the two, and hands the slices back as a loop does.
func (m *mailboxTest) take() {
	m.entries, m.writable = m.box.take(m.entries, m.writable)
	var got []any
	for i, e := range m.entries {
		switch {
		case e.frame != nil:
			got = append(got, e.frame)
		case e.task.client != nil:
			got = append(got, e.task.id)
		}
		m.entries[i] = entry{}
	}
	if !slices.Equal(got, m.naive.items) || !slices.Equal(m.writable, m.naive.writable) {
		m.t.Fatalf("took %d things and %v, want %d and %v", len(got), m.writable, len(m.naive.items), m.naive.writable)
	}
	m.naive.items, m.naive.writable, m.naive.told = nil, nil, false
}

func (m *mailboxTest) depth() {
	frames, bytes := m.box.depth()
	wantFrames, wantBytes := m.naive.size()
	if frames != wantFrames || bytes != wantBytes {
		m.t.Fatalf("depth %d frames, %d bytes; want %d, %d", frames, bytes, wantFrames, wantBytes)
	}
	if frames > m.box.maxFrames || bytes > m.box.maxBytes {
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
		m.box.maxFrames, m.box.maxBytes = 1+int(ops[0]), 1+8*int(ops[1])
		m.naive.maxFrames, m.naive.maxBytes = m.box.maxFrames, m.box.maxBytes
		for i, op := range ops[2:min(len(ops), fuzzedOps)] {
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

// A frame that can't ever fit must not push out what does.
func TestMailboxKeepsWhatFitsWhenAFrameIsTooLarge(t *testing.T) {
	box := mailbox{maxFrames: 10, maxBytes: 100}
	small := &Frame{wire: make([]byte, 10)}
	box.putFrame(small, nil, false)
	dropped, wake := box.putFrame(&Frame{wire: make([]byte, 101)}, nil, false)
	if dropped != (Dropped{Reliable: 1}) || wake {
		t.Errorf("dropped %+v, wake %v; want the large one alone, no wake", dropped, wake)
	}
	if entries, _ := box.take(nil, nil); len(entries) != 1 || entries[0].frame != small {
		t.Errorf("%d entries left, want the small frame", len(entries))
	}
}

// Everything before entries[lossyFrom] is not searched again: a full queue costs the same
// for the millionth put as for the first, in time and in memory.
func TestMailboxStaysBoundedWithoutALoop(t *testing.T) {
	box := mailbox{maxFrames: 64, maxBytes: 1 << 20}
	for range 100_000 {
		box.putFrame(&Frame{wire: make([]byte, 4), Lossy: true}, nil, false)
	}
	if places := cap(box.entries); places > 1024 {
		t.Errorf("64 frames take %d places", places)
	}
}
