package eventloop

// broadcastLog is a loop's log of broadcasts. Each frame for everyone gets the next position;
// a client is described by the position it stands at, not by a queue of its own.
// Owned by its loop.
//
// Frames live in a ring that grows by doubling. What stays in it after a flush is
// bounded by trim.
type broadcastLog struct {
	ring  []*Frame // length is a power of two, or 0
	first uint64   // position of the oldest frame that is still there
	end   uint64   // position that the next frame gets
	bytes int      // of frames from first to end, uncompressed

	account *account // nil: nobody counts. Frames are held once from append to drop
}

func (f *broadcastLog) len() int { return int(f.end - f.first) }

func (f *broadcastLog) at(pos uint64) *Frame { return f.ring[pos&uint64(len(f.ring)-1)] }

// append takes over the caller's hold of the frame.
func (f *broadcastLog) append(fr *Frame) {
	fr.seal()
	if f.len() == len(f.ring) {
		f.grow()
	}
	f.ring[f.end&uint64(len(f.ring)-1)] = fr
	f.end++
	f.bytes += len(fr.wire)
}

func (f *broadcastLog) grow() {
	bigger := make([]*Frame, max(16, 2*len(f.ring)))
	for p := f.first; p < f.end; p++ {
		bigger[p&uint64(len(bigger)-1)] = f.at(p)
	}
	f.ring = bigger
}

// trim lets go of the oldest frames until at most keep bytes are left. The newest
// frame alone may be larger than keep: a client is never too far behind for one message.
func (f *broadcastLog) trim(keep int) {
	for f.bytes > keep && f.len() > 1 {
		f.drop()
	}
}

// dropBefore lets go of what stands before a position.
func (f *broadcastLog) dropBefore(pos uint64) {
	for f.first < min(pos, f.end) {
		f.drop()
	}
}

// forget lets go of everything: no client stands before the end.
func (f *broadcastLog) forget() {
	for f.first < f.end {
		f.drop()
	}
	const idleRing = 1024
	if len(f.ring) > idleRing {
		f.ring = nil
	}
}

func (f *broadcastLog) drop() {
	i := f.first & uint64(len(f.ring)-1)
	f.bytes -= len(f.ring[i].wire)
	f.account.release(f.ring[i])
	f.ring[i] = nil
	f.first++
}
