package eventloop

import "sync"

// task is work for a loop: run on the loop, or client with the client of that id when
// it is still there.
type task struct {
	run    func(*Loop)
	client func(*Client)
	id     uint64
}

// entry is one thing in a mailbox: a frame for an audience, or a task.
type entry struct {
	frame    *Frame
	audience *Audience // nil: everyone
	task     task
}

// mailbox is the only way into a loop. Any goroutine may put, only its loop takes.
//
// Frames are bounded in count and bytes; tasks are not counted, because each of
// them belongs to a connection that is itself bounded. Order among frames and tasks
// is the order in which they were put.
type mailbox struct {
	mu       sync.Mutex
	entries  []entry
	writable []uint32 // slots of lagging clients whose sockets have room again

	maxFrames, maxBytes int
	frames, bytes       int
	dead                int // entries that were dropped and still hold a place

	shut bool // the loop has ended: what is put is let go of
	told bool // the loop knows that there's something to take, or is about to
	// quiet: the loop comes by itself in a while, and needn't be told of frames before
	// the queue is half full.
	quiet bool

	lost    losses        // since they were last taken
	emptied chan struct{} // closed at the next take; nil when nobody waits for that

	// Invariant: no live lossy frame stands before entries[lossyFrom]. Without it
	// each put into a full mailbox of 1,024 change events would search all of them.
	lossyFrom int
}

// Dropped says what a full mailbox let go of, by what it was. Who was to be given something
// reliable is told (Handler.LossNotice).
type Dropped struct {
	Lossy    int  // presence and relays
	Reliable int  // change events, row frames and binary messages
	Refused  bool // it is the message itself, which no loop got: there is no room (Options.BufferBytes)
}

func (d *Dropped) add(o Dropped) { d.Lossy += o.Lossy; d.Reliable += o.Reliable }

// Any is true when something was dropped.
func (d Dropped) Any() bool { return d.Lossy+d.Reliable > 0 }

func (d *Dropped) count(f *Frame) {
	if f.Lossy {
		d.Lossy++
	} else {
		d.Reliable++
	}
}

// putFrame never blocks. When the queue is full the oldest lossy frame goes first, the
// incoming one included, then the oldest of all. A frame that would not fit into an
// empty queue pushes nothing out. wake is true when the loop has to be told, once between
// two takes. With more to come it isn't told before the queue is more than half full: the
// publisher calls tell at the end.
func (m *mailbox) putFrame(f *Frame, a *Audience, more bool) (dropped Dropped, wake bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut {
		return dropped, false
	}
	if len(f.wire) > m.maxBytes {
		dropped.count(f)
		m.lost.note(f, a)
		return dropped, m.mustTell()
	}
	for m.frames+1 > m.maxFrames || m.bytes+len(f.wire) > m.maxBytes {
		victim := m.victim(f.Lossy)
		if victim < 0 {
			dropped.count(f)
			return dropped, false // a lossy one
		}
		dropped.count(m.entries[victim].frame)
		m.lost.note(m.entries[victim].frame, m.entries[victim].audience)
		m.bury(victim)
	}
	m.frames++
	m.bytes += len(f.wire)
	m.push(entry{frame: f, audience: a})
	return dropped, (!more && !m.quiet || m.halfFull()) && m.mustTell()
}

// setQuiet is called by the loop.
func (m *mailbox) setQuiet(quiet bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.quiet && !quiet && !m.empty() {
		m.told = true // what came meanwhile: the loop looks at its end
	}
	m.quiet = quiet
}

// tell is whether the loop has to be told of what was put with more to come.
func (m *mailbox) tell() (wake bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.empty() && !m.quiet && m.mustTell()
}

func (m *mailbox) mustTell() bool {
	untold := !m.told
	m.told = true
	return untold
}

// putTask adds a task, which is never dropped while the loop runs.
func (m *mailbox) putTask(t task) (wake bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut {
		return false
	}
	m.push(entry{task: t})
	return m.mustTell()
}

// putWritable notes that the socket of the client in that slot has room again.
func (m *mailbox) putWritable(slot uint32) (wake bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writable = append(m.writable, slot)
	return m.mustTell()
}

// isTold is whether something was put that the loop hasn't taken and must not leave.
func (m *mailbox) isTold() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told
}

func (m *mailbox) empty() bool { return len(m.entries) == m.dead && len(m.writable) == 0 }

func (m *mailbox) push(e entry) {
	if m.dead > 64 && m.dead > len(m.entries)/2 {
		m.compact()
	}
	m.entries = append(m.entries, e)
}

// victim is the index of the frame that has to go, or -1: the incoming one.
func (m *mailbox) victim(incomingLossy bool) int {
	first := -1
	for i := range m.entries {
		if m.entries[i].frame != nil {
			first = i
			break
		}
	}
	for i := max(m.lossyFrom, 0); i < len(m.entries); i++ {
		if f := m.entries[i].frame; f != nil && f.Lossy {
			m.lossyFrom = i
			return i
		}
	}
	m.lossyFrom = len(m.entries)
	if incomingLossy {
		return -1
	}
	return first
}

func (m *mailbox) bury(i int) {
	m.frames--
	m.bytes -= len(m.entries[i].frame.wire)
	m.entries[i] = entry{}
	m.dead++
}

func (m *mailbox) compact() {
	live := m.entries[:0]
	for _, e := range m.entries {
		if e.frame != nil || e.task.run != nil || e.task.client != nil {
			live = append(live, e)
		}
	}
	clear(m.entries[len(live):])
	m.entries, m.dead, m.lossyFrom = live, 0, 0
}

// take hands over everything that has piled up, in order, and leaves the queue empty.
// The two slices are what an earlier take returned, emptied: they are swapped in, so
// that a busy loop allocates nothing. Entries without frame and task were dropped.
func (m *mailbox) take(entries []entry, writable []uint32) ([]entry, []uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, w := m.entries, m.writable
	m.entries, m.writable = entries[:0], writable[:0]
	m.frames, m.bytes, m.dead, m.lossyFrom, m.told = 0, 0, 0, 0, false
	if m.emptied != nil {
		close(m.emptied)
		m.emptied = nil
	}
	return e, w
}

// end is take for a loop that has ended.
func (m *mailbox) end() []entry {
	m.mu.Lock()
	m.shut = true
	m.mu.Unlock()
	entries, _ := m.take(nil, nil)
	return entries
}

// lose notes that a frame didn't even get here, of which the loop tells its clients.
func (m *mailbox) lose(f *Frame, a *Audience) (wake bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost.note(f, a)
	return m.mustTell()
}

// takeLost is who has missed something since it was last asked.
func (m *mailbox) takeLost() (lost losses) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lost, m.lost = m.lost, losses{}
	return lost
}

// drained is nil when the box is at most half full, and otherwise closed when it has been
// emptied.
func (m *mailbox) drained() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.halfFull() {
		return nil
	}
	if m.emptied == nil {
		m.emptied = make(chan struct{})
	}
	return m.emptied
}

// halfFull is when whoever can wait does.
func (m *mailbox) halfFull() bool { return 2*m.frames > m.maxFrames || 2*m.bytes > m.maxBytes }

// depth is how many frames and bytes wait right now.
func (m *mailbox) depth() (frames, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.frames, m.bytes
}
