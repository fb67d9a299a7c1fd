// Package logqueue keeps whoever writes a log from waiting for whoever reads it. A pipe that nobody
// empties, a terminal that was stopped or a disk that hangs holds up one goroutine, which nobody waits for.
package logqueue

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// What a queue holds at most. A record is some 200 bytes; a panic's stack is some kilobytes.
const (
	maxRecords = 4096
	maxBytes   = 1 << 20
)

// Queue is a writer in front of another one. Each Write is a record, is copied, and never blocks: what
// doesn't fit is dropped and counted. Safe from any goroutine.
type Queue struct {
	out     io.Writer
	dropped atomic.Uint64
	ended   chan struct{} // closed when all is written after Close

	mu      sync.Mutex
	more    sync.Cond
	records [][]byte // oldest first
	bytes   int      // of records
	untold  uint64   // records that were dropped, and that room wasn't called for
	room    func(dropped uint64)
	telling bool // room is being called
	closed  bool
}

// New starts a queue in front of out. The caller closes it.
func New(out io.Writer) *Queue {
	q := &Queue{out: out, ended: make(chan struct{})}
	q.more.L = &q.mu
	go q.run()
	return q
}

// OnRoom has f told how many records were dropped, once there is room again. f may write to the queue.
func (q *Queue) OnRoom(f func(dropped uint64)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room = f
}

// Dropped is how many records were dropped since the start, for want of room or because they
// couldn't be written.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// Write takes one record. It returns no error: nobody who logs could do anything about it.
func (q *Queue) Write(record []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed && !q.telling { // not to be told: telling might never end
		q.dropped.Add(1)
		return len(record), nil
	}
	if len(q.records) >= maxRecords || q.bytes+len(record) > maxBytes {
		q.drop()
		return len(record), nil
	}
	q.records = append(q.records, append([]byte(nil), record...))
	q.bytes += len(record)
	q.more.Signal()
	return len(record), nil
}

func (q *Queue) drop() {
	q.dropped.Add(1)
	q.untold++
}

// Close takes no more records, and returns when all that it has are written, with the news of those that
// were dropped, or the time is up. A write that hangs is left behind.
func (q *Queue) Close(within time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.more.Signal()
	q.mu.Unlock()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-q.ended:
	case <-late.C:
	}
}

func (q *Queue) run() {
	defer close(q.ended)
	readable := true // somebody takes what is written
	for {
		record, dropped, ok := q.next(readable)
		switch {
		case !ok:
			return
		case dropped > 0:
			q.room(dropped)
			q.mu.Lock()
			q.telling = false
			q.mu.Unlock()
		default:
			// One that can't be written isn't worth a record, which couldn't be either.
			_, err := q.out.Write(record)
			if readable = err == nil; !readable {
				q.mu.Lock()
				q.drop()
				q.mu.Unlock()
			}
		}
	}
}

// next waits for a record to write, or for a moment to tell how many were dropped. ok is false at the end.
func (q *Queue) next(readable bool) (record []byte, dropped uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.records) == 0 {
		switch {
		case q.untold > 0 && readable && q.room != nil:
			dropped, q.untold, q.telling = q.untold, 0, true
			return nil, dropped, true
		case q.closed:
			return nil, 0, false
		}
		q.records = nil // what a burst has made large
		q.more.Wait()
	}
	record = q.records[0]
	q.records[0] = nil
	q.records = q.records[1:]
	q.bytes -= len(record)
	return record, 0, true
}
