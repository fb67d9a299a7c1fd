package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/wsproto"
)

// ViewFetcher gives to all that a client which begins with nothing (since=0) has to have: for each row that id
// may see its last change, in rising order of seq. It returns nil when that is the whole; after any other end
// the client is told to try again later. It may take its time, never runs on an event loop, and is called from
// several goroutines at once.
type ViewFetcher func(ctx context.Context, id *Identity, to *ViewWriter) error

// ViewOptions are about what clients are given that begin with nothing.
type ViewOptions struct {
	// Fetch supplies it. Nil: they are given what the log retains, and are told when that isn't all there has been.
	Fetch   ViewFetcher
	Timeout time.Duration // until Fetch has given a page, or flushed one, not counting the client's time; default 10 s
}

// viewBytes is about how many bytes of a view a client is sent at a time, and pageEvents how many events.
const viewBytes = 64 << 10

// A client that takes less of its view than viewStep in viewPatience has to go: it holds a place that others wait
// for. The API asks as much of its callers.
const (
	viewPatience = 20 * time.Second
	viewStep     = 10_000
)

var (
	errViewTooOld  = errors.New("the view is older than what the change log retains")
	errViewLate    = errors.New("too long nothing came")
	errViewReader  = errors.New("the client takes too little of it")
	errViewNoBegin = errors.New("nobody has said up to which seq the view is")
)

// ViewWriter takes a view for one client, at the pace at which that client reads. It belongs to the goroutine
// that Fetch was called in.
type ViewWriter struct {
	hub     *Hub
	ctx     context.Context
	client  uint64
	deflate bool
	taken   <-chan struct{} // the client has all that it was given
	timer   *time.Timer     // runs while the fetcher is waited for

	begun bool
	seq   uint64 // of the view
	last  uint64 // of the newest event
	page  []*eventloop.Frame
	bytes int   // of page
	err   error // the first
}

// Begin says up to which seq the view is: every change up to there is in it, or a later one of the same row, and
// none above it. It is called before anything is written. A seq that the change log hasn't come to is waited for.
func (w *ViewWriter) Begin(seq uint64) error {
	if w.err == nil {
		w.err = w.begin(seq)
	}
	return w.err
}

func (w *ViewWriter) begin(seq uint64) (err error) {
	switch {
	case w.begun:
		return errors.New("the view begins twice")
	case seq > MaxSeq:
		return fmt.Errorf("the view's seq %d is above %d", seq, uint64(MaxSeq))
	}
	w.begun, w.seq = true, seq
	_, err = w.hub.behindView(w.ctx, seq)
	return err
}

// Write gives the client a change event of the view, which is checked like one that is published. It has a Seq,
// and neither OpID nor Audience. Data may be overwritten when Write has returned. It waits as Ready does.
func (w *ViewWriter) Write(c Change) error {
	if w.Ready() == nil {
		w.err = w.add(&c)
	}
	return w.err
}

func (w *ViewWriter) add(c *Change) error {
	switch {
	case !w.begun:
		return errViewNoBegin
	case c.Seq <= w.last:
		return fmt.Errorf("the view's seqs don't rise: %d follows on %d", c.Seq, w.last)
	case c.Seq > w.seq:
		return fmt.Errorf("event %d is above the view's seq %d", c.Seq, w.seq)
	case c.OpID != "" || c.Audience.Users != nil || c.Audience.Tenant != "" || c.Audience.Topic != "":
		return fmt.Errorf("event %d has an op_id or an audience", c.Seq)
	}
	if err := validateChange(c, w.hub.opts.MaxMessageOut); err != nil {
		return fmt.Errorf("event %d: %w", c.Seq, err)
	}
	setDefault(&c.Timestamp, timestamp(time.Now()))
	release, ok := w.hub.engine.Hold(len(c.Data))
	if !ok {
		return ErrOverloaded
	}
	defer release()
	f := NewEntry(c.Seq, w.last, c).frame
	if w.deflate {
		w.hub.engine.Deflate(f)
	}
	w.hub.engine.Count(f)
	w.page, w.bytes, w.last = append(w.page, f), w.bytes+f.Size(), c.Seq
	return nil
}

// Ready waits until the client has room for more. A fetcher that holds much for the next Write calls it before
// it does.
func (w *ViewWriter) Ready() error {
	if w.err == nil && (len(w.page) >= pageEvents || w.bytes >= viewBytes) {
		w.err = w.flush()
	}
	return w.err
}

// Flush gives the client what was written, as a fetcher has it do that waits for more. It waits as Ready does.
func (w *ViewWriter) Flush() error {
	if w.err == nil {
		w.err = w.flush()
	}
	return w.err
}

// flush sends a page, and returns when the client has taken it.
func (w *ViewWriter) flush() error {
	page, bytes := w.page, w.bytes
	if len(page) == 0 {
		return nil
	}
	w.timer.Stop()
	w.page, w.bytes = nil, 0
	upTo := w.last
	w.hub.engine.Post(w.client, func(c *eventloop.Client) {
		c.PinReplay()
		c.SendPage(page, upTo)
	})
	err := w.awaitTaken(bytes)
	w.timer.Reset(w.hub.opts.Views.Timeout)
	return err
}

func (w *ViewWriter) awaitTaken(bytes int) error {
	tooSlow := time.NewTimer(w.hub.viewPatience * time.Duration(1+bytes/viewStep))
	defer tooSlow.Stop()
	select {
	case <-w.taken:
		return nil
	case <-tooSlow.C:
		return errViewReader
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
}

// readView has a client that begins with nothing sent its view, and then what the log has behind that. Until then
// nothing that is broadcast is kept for it, but for what isn't a change event.
func (h *Hub) readView(c *eventloop.Client, s *state) {
	taken := make(chan struct{}, 1)
	s.taken = taken
	c.SendPage(nil, 0)
	id, w := s.identity, &ViewWriter{hub: h, client: c.ID(), deflate: c.Deflates(), taken: taken}
	var err error
	s.reading, err = h.queues.views.Go(h.ownerOf(c), taskBytes, func(ctx context.Context) {
		cursor, err := h.copyView(ctx, id, w)
		h.engine.Post(w.client, func(c *eventloop.Client) { h.viewEnded(c, s, cursor, err) })
	})
	if err != nil {
		h.engine.Post(w.client, tooManyCatchUp)
	}
}

// copyView runs on a worker. It returns the cursor with which the log goes on.
func (h *Hub) copyView(ctx context.Context, id *Identity, w *ViewWriter) (cursor uint64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.ctx = ctx
	if err = w.awaitTaken(0); err != nil {
		return 0, err
	}
	w.timer = time.AfterFunc(h.opts.Views.Timeout, func() { cancel(errViewLate) })
	defer w.timer.Stop()
	err = h.callViews(ctx, id, w)
	switch {
	case w.err != nil:
		return 0, w.err
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case err != nil:
		return 0, err
	case !w.begun:
		return 0, errViewNoBegin
	}
	if err = w.flush(); err != nil {
		return 0, err
	}
	return h.behindView(ctx, w.seq)
}

// behindView is the cursor of a client that has a view up to seq. Of a log that has let go of nothing all is to
// come that it has above that, and one that has had nothing yet can't say how old a view is.
func (h *Hub) behindView(ctx context.Context, seq uint64) (cursor uint64, err error) {
	switch b := h.logBounds(); {
	case !b.Trimmed && b.Last == b.Before:
		return b.Last, nil
	case seq > b.Last:
		if h.delivered.Await(ctx, seq) != nil {
			return 0, fmt.Errorf("the view is up to %d, the change log to %d: %w", seq, b.Last, context.Cause(ctx))
		}
		return seq, nil
	case !b.Trimmed:
		return max(seq, b.Before), nil
	case seq < b.Before:
		return 0, errViewTooOld
	}
	return seq, nil
}

// viewEnded goes on with the log, from its beginning where the view is too old for it: then the client is told that
// it isn't complete.
func (h *Hub) viewEnded(c *eventloop.Client, s *state, cursor uint64, err error) {
	s.reading, s.taken = nil, nil
	switch {
	case !c.Open():
		return
	case errors.Is(err, errViewReader):
		c.Close(wsproto.StatusTryAgainLater, "too slow", eventloop.CauseSlow)
		return
	case errors.Is(err, ErrOverloaded):
		c.Close(wsproto.StatusTryAgainLater, "over capacity, try again later", eventloop.CauseMemory)
		return
	case err != nil:
		h.trouble.Warn(h.opts.Logger, time.Now(), "fetching what a new client needs failed", "error", err)
		if !errors.Is(err, errViewTooOld) {
			c.Close(wsproto.StatusTryAgainLater, "the snapshot is unavailable, try again later", eventloop.CauseServerClosed)
			return
		}
	}
	s.cursor = cursor
	c.PinReplay()
	h.readLog(c, s)
}
