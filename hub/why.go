package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// Verdict is what became of a change event for a client.
type Verdict string

// The verdicts. What isn't known for sure is VerdictUnknown, and Answer.Detail says what is.
const (
	VerdictSent           Verdict = "sent"             // all of it went to the kernel; whether the peer read it isn't known
	VerdictWaiting        Verdict = "waiting"          // it is still to be sent
	VerdictLost           Verdict = "lost"             // it wasn't sent, see Cause
	VerdictNotInAudience  Verdict = "not_in_audience"  // it was for others
	VerdictNotSubscribed  Verdict = "not_subscribed"   // it was for subscribers, and the client isn't one now
	VerdictConnectedLater Verdict = "connected_later"  // it had come before the client, and wasn't asked for by a cursor
	VerdictHadIt          Verdict = "before_its_since" // the client's cursor says that it had it
	VerdictGone           Verdict = "gone"             // the client had left before
	VerdictNotPublished   Verdict = "not_published"    // there is no such event, or not yet
	VerdictNotRetained    Verdict = "not_retained"     // the log has let go of it, so whom it was for isn't known
	VerdictUnknown        Verdict = "unknown"          // what is remembered doesn't reach back that far
)

// Answer is what Why found out.
type Answer struct {
	Client  uint64     `json:"client"`
	Seq     uint64     `json:"seq"`
	Verdict Verdict    `json:"verdict"`
	Cause   string     `json:"cause,omitempty"` // of lost: of Lost.Cause, or of Closed.Cause where the connection ended
	At      *time.Time `json:"at,omitempty"`    // when it was lost, or the client went
	Detail  string     `json:"detail"`          // a sentence

	UserID      string     `json:"user_id,omitempty"`
	Tenant      string     `json:"tenant,omitempty"`
	ConnectedAt *time.Time `json:"connected_at,omitempty"`
	ClosedAt    *time.Time `json:"closed_at,omitempty"`
	CloseCause  string     `json:"close_cause,omitempty"`
}

// OtherNodeError says that a client isn't this node's, which knows nothing of it.
type OtherNodeError struct{ Node int }

func (e *OtherNodeError) Error() string {
	return fmt.Sprintf("the client is at node %d: ask that", e.Node)
}

// ErrNoSuchClient is returned by Why for a client that isn't there and isn't remembered.
var ErrNoSuchClient = errors.New("there is no such client now, and none is remembered")

// Why says whether a client of this node was sent a change event, and if not why. It goes by the change log, by who the
// client is, and by what its event loop remembers of closes and losses; a delivery leaves no trace.
func (h *Hub) Why(ctx context.Context, client, seq uint64) (*Answer, error) {
	if node := eventloop.NodeOf(client); node != h.opts.Loops.Node {
		return nil, &OtherNodeError{node}
	}
	q := &inquiry{hub: h, answer: Answer{Client: client, Seq: seq}}
	if err := q.readEvent(ctx); err != nil {
		return nil, err
	}
	traced := make(chan struct{})
	if !h.engine.Trace(client, seq, func(t eventloop.Trace) { defer close(traced); q.note(t) }) {
		return nil, ErrNoSuchClient
	}
	select {
	case <-traced:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.engine.Failed():
		return nil, eventloop.ErrStopped
	}
	if !q.trace.Known {
		return nil, ErrNoSuchClient
	}
	q.decide()
	return &q.answer, nil
}

// inquiry is a Why under way.
type inquiry struct {
	hub    *Hub
	answer Answer

	event *Entry // nil: the log doesn't have it
	last  uint64 // the log's newest

	trace      eventloop.Trace
	identity   Identity // user and tenant
	subscribed bool     // to what the event is for, now
	cursor     bool     // it came with a cursor,
	since      uint64   // this,
	replayed   uint64   // and was given events up to that; or it catches up, and has come to that
}

func (q *inquiry) readEvent(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	page, err := q.hub.readRange(ctx, max(q.answer.Seq, 1)-1, 1)
	var resync *ResyncError
	switch {
	case errors.As(err, &resync):
		q.last = resync.Seq
	case err != nil:
		return fmt.Errorf("reading the change log: %w", err)
	default:
		if q.last = page.Last; len(page.Entries) > 0 && page.Entries[0].Seq == q.answer.Seq {
			q.event = &page.Entries[0]
		}
	}
	return nil
}

// note runs on the client's loop.
func (q *inquiry) note(t eventloop.Trace) {
	q.trace = t
	switch c := t.Client; {
	case c != nil:
		id := identityOf(c)
		q.identity = Identity{UserID: id.UserID, Tenant: id.Tenant}
		opened := c.OpenedAt()
		q.answer.ConnectedAt = &opened
		if s, ok := c.Data.(*state); ok {
			q.replayed = s.cursor // of one without a cursor that is too slow: what it had been sent before
			if s.resyncs {
				q.cursor, q.since = true, s.since
			}
		}
		if key := q.key(); key != "" {
			q.subscribed = c.Subscribed(key)
		}
		q.trace.Client = nil // it is the loop's
	case t.Closed != nil:
		r := t.Closed
		q.identity = Identity{UserID: r.User, Tenant: r.Tenant}
		q.cursor, q.since, q.replayed = r.Cursor, r.Since, r.Replayed
		q.trace.Behind, q.trace.Ahead = r.Behind, r.Ahead
		q.answer.ConnectedAt, q.answer.ClosedAt, q.answer.CloseCause = &r.Opened, &r.At, r.Cause.String()
	}
	q.answer.UserID, q.answer.Tenant = q.identity.UserID, q.identity.Tenant
}

// key is what the event's audience has to be subscribed to; empty: nothing.
func (q *inquiry) key() string {
	if q.event != nil {
		if to := q.hub.audienceOf(q.event); to != nil {
			return to.Key
		}
	}
	return ""
}

func (q *inquiry) is(v Verdict, detail string, args ...any) {
	q.answer.Verdict, q.answer.Detail = v, fmt.Sprintf(detail, args...)
}

// decide looks at what rules the event out, from the surest to the least sure.
func (q *inquiry) decide() {
	seq := q.answer.Seq
	switch {
	case q.event == nil && (seq > q.last || seq == 0):
		q.is(VerdictNotPublished, "the newest event is %d", q.last)
	case q.outOfAudience():
		q.is(VerdictNotInAudience, "the event is for %s", q.audience())
	case seq <= q.trace.Behind, q.replays():
		q.beforeIt()
	case q.key() != "" && q.answer.ClosedAt == nil && !q.subscribed:
		q.is(VerdictNotSubscribed, "the event is for subscribers, and the client isn't subscribed now; what it was subscribed to then isn't kept")
	case q.afterIt(), q.wasLost(true), q.waits(), q.wasLost(false): // which nobody is of what came before him
	case seq <= q.trace.Ahead:
		q.is(VerdictUnknown, "the client was accepted about when the event came, within a tenth of a second or, long ago, more")
	case q.event == nil:
		q.is(VerdictNotRetained, "the change log doesn't have the event any more, or never had one of this seq; so whether it was for the client isn't known")
	case q.key() != "":
		q.is(VerdictUnknown, "the event is for subscribers, and since when the client was one isn't kept; if it was one by then, it was sent the event")
	case q.forgotten():
		q.is(VerdictUnknown, "nothing says that the client lost the event, but losses before %s are forgotten", q.trace.LossesSince.UTC().Format(time.RFC3339))
	default:
		q.is(VerdictSent, "all of it went to the kernel%s; whether the peer read it isn't known here", q.when())
	}
}

func (q *inquiry) outOfAudience() bool {
	if q.event == nil {
		return false
	}
	a := &q.event.Audience
	switch {
	case len(a.Users) > 0:
		return !slices.ContainsFunc(a.Users, func(u string) bool { return eventloop.Remembered(u) == eventloop.Remembered(q.identity.UserID) })
	case a.Tenant != "":
		return eventloop.Remembered(a.Tenant) != eventloop.Remembered(q.identity.Tenant)
	}
	return false
}

func (q *inquiry) audience() string {
	if a := &q.event.Audience; a.Tenant != "" {
		return fmt.Sprintf("tenant %q", a.Tenant)
	}
	return fmt.Sprintf("the users %.200q", q.event.Audience.Users)
}

// beforeIt is for an event that had come when the client was accepted.
func (q *inquiry) beforeIt() {
	seq := q.answer.Seq
	switch {
	case !q.cursor:
		q.is(VerdictConnectedLater, "the event had come before the client connected, without since")
	case seq <= q.since:
		q.is(VerdictHadIt, "the client came with since=%d, and so had the event", q.since)
	case q.ofTopic():
		q.is(VerdictConnectedLater, "the event had come before the client connected; events for a topic's subscribers aren't given to who comes back")
	case seq > q.replayed && q.answer.ClosedAt == nil:
		q.is(VerdictWaiting, "the client came with since=%d, and has been given events up to %d from the change log", q.since, q.replayed)
	case q.afterIt(), q.wasLost(true), q.waits(), q.wasLost(false):
	case seq > q.replayed:
		q.is(VerdictGone, "the client left when it had been given events up to %d from the change log", q.replayed)
	case q.event == nil:
		q.is(VerdictNotRetained, "the change log doesn't have the event any more, or never had one of this seq")
	case q.trace.LossesSince.After(*q.answer.ConnectedAt):
		q.is(VerdictUnknown, "nothing says that the client lost the event, but losses before %s are forgotten", q.trace.LossesSince.UTC().Format(time.RFC3339))
	default:
		q.is(VerdictSent, "the client came with since=%d, and was given the event from the change log, or told to resync behind it", q.since)
	}
}

// replays is whether the client was given the event from the change log: it need not be subscribed to that.
func (q *inquiry) replays() bool {
	return q.cursor && q.since < q.answer.Seq && q.answer.Seq <= q.replayed && !q.ofTopic()
}

// ofTopic is whether the event is for a topic's subscribers: event loops don't know its seq, because it is never given
// from the change log.
func (q *inquiry) ofTopic() bool { return q.event != nil && q.event.Audience.Topic != "" }

// afterIt is for a client that has left.
func (q *inquiry) afterIt() bool {
	r := q.trace.Closed
	if r == nil {
		return false
	}
	q.answer.At = &r.At
	switch seq := q.answer.Seq; {
	case q.ofTopic():
		q.answer.At = nil
		return false
	case seq > r.Newest:
		q.is(VerdictGone, "the client had left before the event came: %s", r.Cause)
	case r.Messages > 0 && r.Events.From <= seq && seq <= r.Events.To:
		q.answer.Cause = r.Cause.String()
		q.is(VerdictLost, "the connection ended (%s) before the event was sent whole%s", r.Cause, q.ifForIt())
	default:
		q.answer.At = nil
		return false
	}
	return true
}

func (q *inquiry) waits() bool {
	switch seq := q.answer.Seq; {
	case q.answer.ClosedAt != nil && !q.trace.Closing || q.ofTopic():
		return false
	case seq > q.trace.Newest:
		q.is(VerdictWaiting, "the event is stored, and hasn't come to the client's event loop yet")
	case q.trace.Replays && seq > q.replayed:
		q.is(VerdictWaiting, "the client is being given events from the change log, and has been given those up to %d%s", q.replayed, q.ifForIt())
	case !q.trace.Replays && seq >= q.trace.Unsent && q.trace.Waiting > 0:
		q.is(VerdictWaiting, "%d messages wait for the client, which reads too slowly%s", q.trace.Waiting, q.ifForIt())
	default:
		return false
	}
	return true
}

// wasLost goes by what is remembered of losses: the client's own, or else those of clients of its loop. With catch-up what a full mailbox let go of is given from the log.
func (q *inquiry) wasLost(own bool) bool {
	catchesUp := q.hub.opts.Loops.Slow.Policy == eventloop.CatchUp && !q.ofTopic()
	for i := range q.trace.Losses {
		n := &q.trace.Losses[i]
		if own == (n.ID == 0) || n.ID == 0 && (catchesUp || q.answer.Seq <= q.trace.Ahead) {
			continue
		}
		q.answer.Cause, q.answer.At = n.Cause.String(), &n.At
		how := "the client was too far behind, and was told to resync"
		switch n.Cause {
		case eventloop.LossMailbox:
			how = "the mailbox of the client's event loop was full"
		case eventloop.LossMemory:
			how = "there was no memory to send it (-buffer-memory)"
		case eventloop.LossLog:
			how = "the change log had let go of it before it came to this node"
		}
		inside := n.Events.From < q.answer.Seq && q.answer.Seq < n.Events.To
		switch {
		case own && q.ofTopic():
			q.is(VerdictUnknown, "%s: events from %d to %d were lost; those for a topic's subscribers among them perhaps not", how, n.Events.From, n.Events.To)
		case own && inside && n.Several:
			q.is(VerdictUnknown, "%s: of the events from %d to %d it lost some and was sent others", how, n.Events.From, n.Events.To)
		case !own && inside:
			q.is(VerdictUnknown, "%s: events from %d to %d were lost to clients, this one perhaps not", how, n.Events.From, n.Events.To)
		default:
			q.is(VerdictLost, "%s%s", how, q.ifForIt())
		}
		return true
	}
	return false
}

// ifForIt is a doubt about an event that the log doesn't have any more.
func (q *inquiry) ifForIt() string {
	if q.event == nil {
		return ", if it was for the client: the change log doesn't have it any more"
	}
	return ""
}

// forgotten is whether the event may have been lost without being remembered.
func (q *inquiry) forgotten() bool {
	since := q.trace.LossesSince
	return !since.IsZero() && (!q.trace.Came || q.trace.From.Before(since))
}

func (q *inquiry) when() string {
	if !q.trace.Came {
		return ""
	}
	return " not before " + q.trace.From.UTC().Format("2006-01-02T15:04:05.0Z07:00")
}
