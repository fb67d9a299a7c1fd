package hub

import (
	"context"
	"sync"
	"sync/atomic"
)

// workers run what may block, at most so many at once; what can't run yet waits in a
// bounded queue. Safe from any goroutine; do never blocks.
type workers struct {
	most     int
	waiting  int       // that may wait
	panicked func(any) // is told what was recovered from

	mu      sync.Mutex
	queue   []func()
	head    int
	running int
	closed  bool
	done    sync.WaitGroup
	refused atomic.Uint64
}

func newWorkers(most, waiting int, panicked func(any)) *workers {
	return &workers{most: most, waiting: waiting, panicked: panicked}
}

// do has f run on a worker; false when too many wait already, or after close.
func (w *workers) do(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed || len(w.queue)-w.head >= w.waiting:
		w.refused.Add(1)
		return false
	case w.running < w.most:
		w.running++
		w.done.Add(1)
		go w.work(f)
	default:
		w.queue = append(w.queue, f)
	}
	return true
}

// work goes on until nothing waits: an idle hub has no workers.
func (w *workers) work(f func()) {
	defer w.done.Done()
	for f != nil {
		w.guard(f)
		f = w.next()
	}
}

// guard is the last resort: what may panic answers for itself (Hub.recovered), because
// somebody waits for the answer.
func (w *workers) guard(f func()) {
	defer func() {
		if r := recover(); r != nil {
			w.panicked(r)
		}
	}()
	f()
}

func (w *workers) next() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.head == len(w.queue) || w.closed {
		w.queue, w.head = nil, 0
		w.running--
		return nil
	}
	f := w.queue[w.head]
	w.queue[w.head] = nil
	w.head++
	if w.head > 1024 && w.head > len(w.queue)/2 {
		n := copy(w.queue, w.queue[w.head:])
		clear(w.queue[n:])
		w.queue, w.head = w.queue[:n], 0
	}
	return f
}

// close forgets what waits and returns when what runs has ended, or ctx has.
func (w *workers) close(ctx context.Context) {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		w.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}
