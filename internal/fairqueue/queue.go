// Package fairqueue runs what may block, so much of it at once, and shares the turns out fairly
// among the users and addresses that it is done for. What waits is bounded, for each of them and
// together, and ends with whoever it is done for.
package fairqueue

import (
	"container/list"
	"context"
	"sync"
)

// Queue runs tasks, each in a goroutine of its own. Safe from any goroutine.
type Queue struct {
	panicked func(any) // is told what was recovered from
	hold     func(n int) (release func(), ok bool)
	base     context.Context
	stop     context.CancelFunc

	mu       sync.Mutex
	schedule *schedule // of open
	refused  uint64
	closed   bool
	running  sync.WaitGroup
}

// Task is one thing to do.
type Task struct {
	queue *Queue
	owner Owner
	bytes int
	do    func(context.Context)
	// release gives back what Limits.Hold has counted. It is called without the queue's mutex.
	release func()

	// Guarded by the queue's mutex. place is nil unless the task waits, end unless it runs.
	place *list.Element
	end   context.CancelFunc
}

// New makes a queue. What a task panics with is given to panicked: the last resort, for whatever
// may panic answers for itself.
func New(l Limits, panicked func(any)) *Queue {
	q := &Queue{panicked: panicked, hold: l.Hold, schedule: newSchedule(l)}
	q.base, q.stop = context.WithCancel(context.Background())
	return q
}

// Go has do run when it is its turn, with a context that Cancel and Close end. bytes is what keeping
// it takes meanwhile. The error is ErrFull, ErrShare or ErrClosed; then do isn't called. It never blocks.
func (q *Queue) Go(owner Owner, bytes int, do func(context.Context)) (*Task, error) {
	t := &Task{queue: q, owner: owner.normal(), bytes: bytes, do: do, release: func() {}}
	held := true
	if q.hold != nil {
		t.release, held = q.hold(bytes)
	}
	if err := q.add(t, held); err != nil {
		if held {
			t.release()
		}
		return nil, err
	}
	return t, nil
}

func (q *Queue) add(t *Task, held bool) (err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		err = ErrClosed
	case !held:
		err = ErrFull
	default:
		err = q.schedule.add(t)
	}
	if err != nil {
		q.refused++
		return err
	}
	q.start()
	return nil
}

// Do is Go, and returns when do has returned; or, when ctx or the queue has ended before its turn
// came, with ctx's error or ErrClosed. do's context is a part of ctx.
func (q *Queue) Do(ctx context.Context, owner Owner, bytes int, do func(context.Context)) error {
	ended := make(chan struct{})
	t, err := q.Go(owner, bytes, func(task context.Context) {
		defer close(ended)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(task, cancel)()
		do(ctx)
	})
	if err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-q.base.Done():
		err = ErrClosed
	}
	if t.Cancel() {
		return err
	}
	<-ended
	return nil
}

// start runs what may run. Call it with mu held.
func (q *Queue) start() {
	for t := q.schedule.next(); t != nil; t = q.schedule.next() {
		var ctx context.Context
		ctx, t.end = context.WithCancel(q.base)
		q.running.Go(func() { q.run(ctx, t) })
	}
}

func (q *Queue) run(ctx context.Context, t *Task) {
	defer func() {
		r := recover()
		q.mu.Lock()
		t.end()
		t.end, t.do = nil, nil
		q.schedule.end(t)
		if !q.closed {
			q.start()
		}
		q.mu.Unlock()
		t.release()
		if r != nil {
			q.panicked(r)
		}
	}()
	t.do(ctx)
}

// Cancel forgets a task that waits, and ends the context of one that runs. It may be called at
// any time and again. waited is true if the task won't run. A nil task is none.
func (t *Task) Cancel() (waited bool) {
	if t == nil {
		return false
	}
	q := t.queue
	q.mu.Lock()
	switch {
	case t.place != nil:
		q.schedule.cancel(t)
		t.do, waited = nil, true
	case t.end != nil:
		t.end()
	}
	q.mu.Unlock()
	if waited {
		t.release()
	}
	return waited
}

// Close lets nothing more run, ends the contexts of what runs, and returns when that has ended or
// ctx has.
func (q *Queue) Close(ctx context.Context) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.stop()
	ended := make(chan struct{})
	go func() {
		q.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Stats is what a queue has to do.
type Stats struct {
	Running, Waiting int
	Bytes            int    // of what waits
	Refused          uint64 // tasks that weren't taken, since the start
}

// Stats is a snapshot.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.schedule.total
	return Stats{Running: u.running, Waiting: u.waiting, Bytes: u.bytes, Refused: q.refused}
}
