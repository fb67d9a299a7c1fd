package eventloop

// broadcastLog is a loop's log of broadcasts. Each frame for everyone gets the next position;
// a client is described by the position it stands at, not by a queue of its own.
// Owned by its loop.
//
// Frames live in a ring that grows by doubling. What stays in it after a flush is
// bounded by trim.
type broadcastLog struct {
	ring  []placed // length is a power of two, or 0
	first uint64   // position of the oldest frame that is still there
	end   uint64   // position that the next frame gets
	bytes int      // of frames from first to end, uncompressed
	total int64    // of all that there ever were

	largest uint64 // position of the largest of the frames, while there are any
}

// placed is a frame in a broadcast log.
type placed struct {
	frame  *Frame
	before int64 // bytes of all frames before it
}

func (f *broadcastLog) len() int { return int(f.end - f.first) }

func (f *broadcastLog) at(pos uint64) *Frame { return f.ring[pos&uint64(len(f.ring)-1)].frame }

// since is how many bytes stand from a position on.
func (f *broadcastLog) since(pos uint64) int64 {
	if pos >= f.end {
		return 0
	}
	return f.total - f.ring[max(pos, f.first)&uint64(len(f.ring)-1)].before
}

func (f *broadcastLog) append(fr *Frame) {
	fr.seal()
	if f.len() == len(f.ring) {
		f.grow()
	}
	f.ring[f.end&uint64(len(f.ring)-1)] = placed{fr, f.total}
	if f.len() == 0 || len(fr.wire) >= len(f.at(f.largest).wire) {
		f.largest = f.end
	}
	f.end++
	f.bytes += len(fr.wire)
	f.total += int64(len(fr.wire))
}

func (f *broadcastLog) grow() {
	bigger := make([]placed, max(16, 2*len(f.ring)))
	for p := f.first; p < f.end; p++ {
		bigger[p&uint64(len(bigger)-1)] = f.ring[p&uint64(len(f.ring)-1)]
	}
	f.ring = bigger
}

// excess is how many bytes there are beside the largest frame: a client is never too far behind
// for one message.
func (f *broadcastLog) excess() int {
	if f.len() == 0 {
		return 0
	}
	return f.bytes - len(f.at(f.largest).wire)
}

// trim lets go of the oldest frames until at most keep bytes are left beside the largest.
func (f *broadcastLog) trim(keep int) {
	for f.excess() > keep {
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
	f.bytes -= len(f.ring[i].frame.wire)
	f.ring[i] = placed{}
	f.first++
	if f.largest < f.first {
		f.largest = f.first
		for pos := f.first; pos < f.end; pos++ {
			if len(f.at(pos).wire) >= len(f.at(f.largest).wire) {
				f.largest = pos
			}
		}
	}
}
