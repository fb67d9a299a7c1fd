package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
)

// ErrBusy is returned when so many lookups are waiting that another would only wait
// for its deadline.
var ErrBusy = errors.New("too many token lookups at once")

// ErrClosed is returned by an authenticator that was closed.
var ErrClosed = errors.New("authenticator closed")

// maxWaiting bounds the lookups (one per token) that run or wait for a slot.
const maxWaiting = 10_000

// flights asks once per token however many callers want the answer. Safe from any
// goroutine. A lookup doesn't end with the caller that started it, since others may
// wait for it too: it has a timeout of its own.
type flights struct {
	group   singleflight.Group
	slots   chan struct{}
	waiting atomic.Int64
	timeout time.Duration
	log     *slog.Logger
	panics  eventloop.PanicLog
	base    context.Context
	cancel  context.CancelFunc

	mu     sync.Mutex // guards closed, and run.Add against run.Wait
	closed bool
	run    sync.WaitGroup
}

func newFlights(slots int, timeout time.Duration, log *slog.Logger) *flights {
	if log == nil {
		log = slog.Default()
	}
	f := &flights{slots: make(chan struct{}, slots), timeout: timeout, log: log}
	f.base, f.cancel = context.WithCancel(context.Background())
	return f
}

// do returns what ask answers for the token, or ctx's error as soon as ctx ends.
func (f *flights) do(ctx context.Context, token string, ask func(context.Context) (*hub.Identity, error)) (*hub.Identity, error) {
	done := f.group.DoChan(token, func() (any, error) { return f.fly(ask) })
	select {
	case r := <-done:
		id, _ := r.Val.(*hub.Identity)
		return id, r.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("look up token: %w", ctx.Err())
	}
}

// fly turns a panic into an error: singleflight throws it again in a goroutine of its own,
// so that nobody can recover from it (x/sync v0.24.0, Group.doCall): one token would end the
// process.
func (f *flights) fly(ask func(context.Context) (*hub.Identity, error)) (id *hub.Identity, err error) {
	defer func() {
		if r := recover(); r != nil {
			f.panics.Note(f.log, "while looking up a token", r)
			id, err = nil, fmt.Errorf("look up token: %w: %v", hub.ErrPanicked, r)
		}
	}()
	if !f.enter() {
		return nil, ErrClosed
	}
	defer f.run.Done()
	defer f.waiting.Add(-1)
	if f.waiting.Add(1) > maxWaiting {
		return nil, ErrBusy
	}
	ctx, cancel := context.WithTimeout(f.base, f.timeout)
	defer cancel()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to look up token: %w", ctx.Err())
	}
	return ask(ctx)
}

func (f *flights) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.run.Add(1)
	return true
}

// close cancels what is under way and returns when none of it runs any more.
func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.run.Wait()
}
