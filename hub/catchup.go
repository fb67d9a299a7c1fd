package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/wsproto"
)

// A returning client is sent a page of so many events, and about so many bytes, before the
// log is read again: what it has taken needs no memory here.
const (
	pageEvents = 512
	pageBytes  = 1 << 20
)

// readLog reads the next page for a client that is held, and lets it go live with the
// last one (docs/protocol.md section 1, since).
func (h *Hub) readLog(c *eventloop.Client, s *state) {
	client, deflates, since, id := c.ID(), c.Deflates(), s.cursor, s.identity
	var err error
	s.reading, err = h.queues.reads.Go(h.ownerOf(c), taskBytes, func(ctx context.Context) {
		p, err := h.readPage(ctx, id, since, deflates)
		h.engine.Post(client, func(c *eventloop.Client) { h.gotPage(c, s, p, err) })
	})
	if err != nil {
		h.engine.Post(client, tooManyCatchUp)
	}
}

func tooManyCatchUp(c *eventloop.Client) {
	c.Close(wsproto.StatusTryAgainLater, "too many clients are catching up, try again later", eventloop.CauseServerClosed)
}

// readPage reads the log, and returns when every event up to the page's Last is in the
// mailboxes: an event can be read before it is, and would come again behind what is
// posted now.
func (h *Hub) readPage(ctx context.Context, id *Identity, since uint64, deflate bool) (p Pulled, err error) {
	defer h.recovered("reading the change log", &err) // also for what a log's entries cause here
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	began := time.Now()
	page, err := h.log.Range(ctx, since, pageEvents) // by readRange a panic would be counted twice
	h.counters.logRead.Since(began)
	last := page.Last
	if resync := (*ResyncError)(nil); errors.As(err, &resync) {
		last = resync.Seq
	}
	if late := h.delivered.Await(ctx, last); late != nil {
		return Pulled{}, fmt.Errorf("waiting for event %d to go out: %w", last, late)
	}
	if err != nil {
		return Pulled{}, err
	}
	entries := firstBytes(page.Entries, pageBytes)
	p = Pulled{frames: h.catchUpFrames(id, entries, deflate), LastSeq: page.Last, Partial: since == 0 && page.Trimmed}
	if p.Partial {
		p.frames = slices.Insert(p.frames, 0, partialFrame(page.Bounds))
	}
	if n := len(entries); n > 0 && entries[n-1].Seq < page.Last {
		p.LastSeq, p.HasMore = entries[n-1].Seq, true
	}
	return p, nil
}

// logTimeout bounds one read of the change log.
const logTimeout = 10 * time.Second

// catchUpFrames runs off the loops, where what wasn't compressed when it was published can be.
func (h *Hub) catchUpFrames(id *Identity, entries []Entry, deflate bool) []*eventloop.Frame {
	frames := make([]*eventloop.Frame, 0, len(entries))
	for i := range entries {
		if e := &entries[i]; e.Audience.reaches(id) {
			f := eventFrame(e)
			if deflate {
				h.engine.Deflate(f)
			}
			frames = append(frames, f)
		}
	}
	return frames
}

// firstBytes are the first entries, of that many bytes together, or one.
func firstBytes(entries []Entry, bytes int) []Entry {
	size := 0
	for i, e := range entries {
		if size += len(e.JSON); size > bytes && i > 0 {
			return entries[:i]
		}
	}
	return entries
}

// gotPage runs on the client's loop, behind every event that was appended before the page
// was read.
func (h *Hub) gotPage(c *eventloop.Client, s *state, p Pulled, err error) {
	s.reading = nil
	var resync *ResyncError
	switch {
	case (errors.As(err, &resync) || p.Partial) && !s.resyncs:
		c.Close(wsproto.StatusTryAgainLater, "messages were lost", eventloop.CauseSlow)
	case errors.As(err, &resync):
		s.resume.ends(h, resumeResync)
		s.cursor = resync.Seq
		c.GoLive([]*eventloop.Frame{resyncFrame(resync.OldestSeq, resync.Seq)}, resync.Seq)
	case err != nil:
		h.trouble.Warn(h.opts.Logger, time.Now(), "reading the change log failed", "error", err)
		c.Close(wsproto.StatusTryAgainLater, "the change log is unavailable, try again later", eventloop.CauseServerClosed)
	case p.HasMore:
		s.cursor = p.LastSeq
		s.resume.goesOn()
		c.SendPage(p.frames, p.LastSeq)
	default:
		s.cursor = p.LastSeq // it may have to be read on from there
		s.resume.ends(h, resumeExact)
		c.GoLive(p.frames, p.LastSeq)
	}
}

// resume is how far a client has come that came with a cursor above 0.
type resume uint8

const (
	notResuming resume = iota // nor has it ever, or it is over
	resuming                  // nothing is read yet
	resumed                   // it has had a page
)

func (r *resume) goesOn() {
	if *r == resuming {
		*r = resumed
	}
}

// ends counts the outcome, once for each client.
func (r *resume) ends(h *Hub, outcome int) {
	if *r == notResuming {
		return
	}
	if *r == resuming && outcome == resumeResync {
		outcome = resumeTooOld
	}
	h.counters.resumes[outcome].Add(1)
	*r = notResuming
}

// reaches is whether a client of that identity is sent the event while it is live, which is
// then also what it has missed while it wasn't. Who was subscribed to a topic then isn't
// known, so events for topics are live only.
func (a *Audience) reaches(id *Identity) bool {
	switch {
	case a.Topic != "":
		return false
	case len(a.Users) > 0:
		return slices.Contains(a.Users, id.UserID)
	}
	return a.Tenant == "" || a.Tenant == id.Tenant
}

// readableBy is whether Pull gives the event. An admin reads what is for others too.
func (a *Audience) readableBy(id *Identity) bool {
	return a.reaches(id) || id.Admin && a.Topic == ""
}

func resyncFrame(oldest, last uint64) *eventloop.Frame {
	return eventloop.NewFrame(ws.OpText, fmt.Appendf(nil, `{"type":"resync","oldest_seq":%d,"seq":%d}`, oldest, last))
}

// partialFrame tells a client that began with nothing that what follows isn't all there has been.
func partialFrame(b Bounds) *eventloop.Frame {
	return eventloop.NewFrame(ws.OpText, fmt.Appendf(nil, `{"type":"resync","oldest_seq":%d,"seq":%d,"complete":false}`, b.Oldest, b.Before))
}

// The bounds of Pull's limit.
const (
	defaultPull = 100
	maxPull     = 1000
)

// Pull reads a page of the change log as id may see it: events above since, oldest first,
// at most limit (0: 100; at most 1,000) and about a megabyte of them. A *ResyncError says that the cursor is newer
// than the newest event, or that events after it are gone.
func (h *Hub) Pull(ctx context.Context, id *Identity, since uint64, limit int) (Pulled, error) {
	if limit <= 0 {
		limit = defaultPull
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	page, err := h.readRange(ctx, since, min(limit, maxPull))
	if err != nil {
		return Pulled{}, fmt.Errorf("reading the change log: %w", err)
	}
	p := Pulled{Changes: []json.RawMessage{}, LastSeq: max(since, page.Last), Partial: since == 0 && page.Trimmed}
	for _, e := range firstBytes(page.Entries, pageBytes) {
		p.LastSeq = e.Seq
		if !e.Audience.readableBy(id) {
			continue
		}
		p.Changes = append(p.Changes, e.JSON)
		if e.frame != nil {
			p.frames = append(p.frames, e.frame)
		} else {
			p.read = append(p.read, readChange{e.Seq, len(p.Changes) - 1})
		}
	}
	p.HasMore = p.LastSeq < page.Last
	return p, nil
}
