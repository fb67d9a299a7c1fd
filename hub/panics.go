package hub

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An embedder's functions (Authenticator, SnapshotFetcher, ViewFetcher, ChangeLog, what CloseIdentity is
// given) run in goroutines that serve many. A panic in one costs the call that it was made
// for: it becomes that call's error, is counted, and is logged once for each place. On the
// event loops package eventloop sees to that.

// ErrPanicked is wrapped by the error of a call that panicked. An Authenticator or another
// function of an embedder's returns it for what panicked on a goroutine of its own, having
// logged it; it is counted then.
var ErrPanicked = errors.New("panic")

// recovered is deferred around an embedder's function.
func (h *Hub) recovered(doing string, err *error) {
	if r := recover(); r != nil {
		h.panics.Note(h.opts.Logger, "while "+doing, r)
		*err = fmt.Errorf("%s: %w: %v", doing, ErrPanicked, r)
	} else if errors.Is(*err, ErrPanicked) {
		h.panics.Add()
	}
}

// survive is deferred where nobody waits for an answer.
func (h *Hub) survive(doing string) {
	if r := recover(); r != nil {
		h.panics.Note(h.opts.Logger, "while "+doing, r)
	}
}

func (h *Hub) lookUp(ctx context.Context, token string) (id *Identity, err error) {
	defer h.recovered("looking up a token", &err)
	ctx, cancel := context.WithTimeout(ctx, h.opts.AuthTimeout)
	defer cancel()
	defer h.counters.tokens.Since(time.Now())
	return h.opts.Auth.Authenticate(ctx, token)
}

func (h *Hub) callSnapshots(ctx context.Context, asked rowQuestion) (payload []byte, ok bool, err error) {
	defer h.recovered("fetching a snapshot", &err)
	defer h.counters.rowFetches.Since(time.Now())
	return h.opts.Rows.Fetch(context.WithValue(ctx, (*Hub)(nil), h), asked.identity, asked.entity, asked.rowID)
}

func (h *Hub) callViews(ctx context.Context, id *Identity, to *ViewWriter) (err error) {
	defer h.recovered("fetching a view", &err)
	return h.opts.Views.Fetch(context.WithValue(ctx, (*Hub)(nil), h), id, to)
}

func (h *Hub) appendToLog(changes []Change) (results []Appended, err error) {
	defer h.recovered("appending to the change log", &err)
	defer h.counters.logAppend.Since(time.Now())
	results, err = h.log.Append(changes)
	if n := len(results); n > len(changes) || n < len(changes) && err == nil {
		results = results[:min(n, len(changes))]
		err = errors.Join(err, fmt.Errorf("the change log answered %d changes with %d results", len(changes), n))
	}
	return results, err
}

func (h *Hub) readRange(ctx context.Context, since uint64, limit int) (page Page, err error) {
	defer h.recovered("reading the change log", &err)
	defer h.counters.logRead.Since(time.Now())
	return h.log.Range(ctx, since, limit)
}

// matches asks the function that CloseIdentity was given. An identity about which it can't
// say ends: what is revoked must not stay, and neither must those behind it.
func (h *Hub) matches(match func(*Identity) bool, id *Identity) (yes bool) {
	defer func() {
		if r := recover(); r != nil {
			h.panics.Note(h.opts.Logger, "while matching an identity", r)
			yes = true
		}
	}()
	return match(id)
}

// logBounds is what the change log has; zeros when it panics.
func (h *Hub) logBounds() Bounds {
	defer h.survive("asking the change log for its bounds")
	return h.log.Bounds()
}
