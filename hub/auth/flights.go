package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/panics"
)

// ErrBusy is returned when a lookup had to be begun again too often.
var ErrBusy = errors.New("sessions are revoked faster than this token can be looked up")

// ErrClosed is returned by an authenticator that was closed.
var ErrClosed = errors.New("authenticator closed")

// flights ask once per token however many callers want the answer. Safe from any goroutine. A
// lookup has a timeout of its own, and ends with the last caller that waits for it. How many there
// are at once is bounded by whoever calls.
type flights struct {
	timeout time.Duration
	log     *slog.Logger
	panics  panics.Log
	base    context.Context
	cancel  context.CancelFunc
	run     sync.WaitGroup

	mu      sync.Mutex // guards what follows, and passengers
	byToken map[string]*flight
	closed  bool
}

// flight is one lookup. id and err are set when done is closed.
type flight struct {
	passengers int
	cancel     context.CancelFunc
	done       chan struct{}
	id         *hub.Identity
	err        error
}

func newFlights(timeout time.Duration, log *slog.Logger) *flights {
	if log == nil {
		log = slog.Default()
	}
	f := &flights{timeout: timeout, log: log, byToken: make(map[string]*flight)}
	f.base, f.cancel = context.WithCancel(context.Background())
	return f
}

// do returns what ask answers for the token, or ctx's error as soon as ctx ends.
func (f *flights) do(ctx context.Context, token string, ask func(context.Context) (*hub.Identity, error)) (*hub.Identity, error) {
	one, err := f.board(token, ask)
	if err != nil {
		return nil, err
	}
	select {
	case <-one.done:
		return one.id, one.err
	case <-ctx.Done():
		f.leave(token, one)
		return nil, fmt.Errorf("look up token: %w", ctx.Err())
	}
}

// board joins the token's lookup, and begins it if there is none.
func (f *flights) board(token string, ask func(context.Context) (*hub.Identity, error)) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	one := f.byToken[token]
	if one == nil {
		ctx, cancel := context.WithTimeout(f.base, f.timeout)
		one = &flight{cancel: cancel, done: make(chan struct{})}
		f.byToken[token] = one
		f.run.Go(func() {
			one.id, one.err = f.fly(ctx, ask)
			f.land(token, one)
		})
	}
	one.passengers++
	return one, nil
}

// leave is for a caller that doesn't wait any more. Whoever comes after the last has the token
// looked up anew.
func (f *flights) leave(token string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one.passengers--; one.passengers == 0 {
		one.cancel()
		f.forget(token, one)
	}
}

func (f *flights) land(token string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.cancel()
	f.forget(token, one)
	close(one.done)
}

func (f *flights) forget(token string, one *flight) {
	if f.byToken[token] == one {
		delete(f.byToken, token)
	}
}

// fly turns a panic into an error: one token would end the process.
func (f *flights) fly(ctx context.Context, ask func(context.Context) (*hub.Identity, error)) (id *hub.Identity, err error) {
	defer func() {
		if r := recover(); r != nil {
			f.panics.Note(f.log, "while looking up a token", r)
			id, err = nil, fmt.Errorf("look up token: %w: %v", hub.ErrPanicked, r)
		}
	}()
	return ask(ctx)
}

// close cancels what is under way and returns when none of it runs any more.
func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.run.Wait()
}
