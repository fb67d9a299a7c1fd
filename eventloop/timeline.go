package eventloop

import "time"

// maxSpans bounds a timeline.
const maxSpans = 512

// timeline is which change events came to a loop when, in bounded memory: what is longer ago is known less exactly. It is
// owned by its loop, and written once in a turn in which events came.
type timeline struct {
	start uint64 // the newest event from before
	spans []span // ascending; between two of them, and behind the last, no event came
}

// span is a time in which events came: those above before, up to event.
type span struct {
	from, to      uint32 // ticks, both included
	before, event uint64
}

// newest is the newest event that is noted.
func (t *timeline) newest() uint64 {
	if n := len(t.spans); n > 0 {
		return t.spans[n-1].event
	}
	return t.start
}

// note is for a turn of the loop behind which event is the newest.
func (t *timeline) note(now uint32, event uint64) {
	before := t.newest()
	if event <= before {
		return
	}
	if n := len(t.spans); n > 0 && t.spans[n-1].to == now && t.spans[n-1].event > t.spans[n-1].before {
		t.spans[n-1].event = event
		return
	}
	t.add(span{now, now, before, event})
}

// pass is note for events that came while the loop had no clients, at some time or other: whoever comes now came behind
// them.
func (t *timeline) pass(now uint32, event uint64) {
	if event > t.newest() {
		t.add(span{now, now, event, event})
	}
}

func (t *timeline) add(s span) {
	if len(t.spans) == maxSpans { // of the older half each two become one
		rest := t.spans[:0]
		for i := 0; i < maxSpans/2; i += 2 {
			a, b := t.spans[i], t.spans[i+1]
			rest = append(rest, span{a.from, b.to, a.before, b.event})
		}
		t.spans = append(rest, t.spans[maxSpans/2:]...)
	}
	t.spans = append(t.spans, s)
}

// at says of somebody who came in a tick that he came behind event from and all before it, and ahead of all events
// above to. Where it is known exactly they are the same.
func (t *timeline) at(now uint32) (from, to uint64) {
	from, to = t.start, t.start
	for _, s := range t.spans {
		switch {
		case now < s.from:
			return from, to
		case now > s.to:
			from, to = s.event, s.event
		default:
			from, to = s.before, s.event
		}
	}
	return from, to
}

// of says in which ticks an event came; false when it came while nobody was there, or hasn't yet.
func (t *timeline) of(event uint64) (from, to uint32, known bool) {
	for _, s := range t.spans {
		if s.before < event && event <= s.event {
			return s.from, s.to, true
		}
	}
	return 0, 0, false
}

// Trace is what a loop knows of a client and of what it was sent, with regard to one change event.
type Trace struct {
	Client *Client // nil: it isn't open
	Closed *Closed // its end, when that is remembered
	Known  bool    // one of the two is there

	Newest uint64 // the newest event that has come to the loop
	// Behind and Ahead: an open client was accepted behind event Behind, and ahead of all above Ahead.
	Behind, Ahead uint64
	Unsent        uint64 // the least event that a client which is there may not have been sent
	Replays       bool   // it is being given events from the change log
	Waiting       int    // messages that wait for it
	Closing       bool   // its Close is behind these, and Closed is there

	// Came is whether it is known when the event came: from From to To.
	Came     bool
	From, To time.Time

	Losses                   []Loss // in which the event lies, the newest first: the client's, or of clients of its loop
	LossesSince, ClosesSince time.Time
}

// Trace looks for a client of this loop.
func (l *Loop) Trace(id, event uint64) (t Trace) {
	t.Newest = max(l.broadcasts.EventBefore(l.broadcasts.End()), l.mailbox.passed.Load())
	t.LossesSince, t.ClosesSince = l.history.losses.since, l.history.closes.since
	if c := l.clients.find(id); c != nil && (c.state == open || c.state == closing) {
		t.Unsent, t.Replays, t.Closing = c.unsent(), c.is(flagReplaying), c.state == closing
		t.Waiting, _ = c.owed()
		if c.state == open {
			t.Client, t.Known = c, true
			t.Behind, t.Ahead = l.history.events.at(c.since)
		}
	}
	for r := range l.history.closes.newest {
		if r.ID == id {
			end := *r
			t.Closed, t.Known = &end, true
			break
		}
	}
	for n := range l.history.losses.newest {
		if (n.ID == id || n.ID == 0) && n.Events.From <= event && event <= n.Events.To && !n.Events.Empty() {
			t.Losses = append(t.Losses, *n)
		}
	}
	if from, to, ok := l.history.events.of(event); ok {
		t.Came, t.From, t.To = true, l.engine.timeOf(from), l.engine.timeOf(to+1)
	}
	return t
}

// Trace has a client's loop look for it.
func (e *Engine) Trace(id, event uint64, f func(Trace)) bool {
	i := loopOf(id)
	if i >= len(e.loops) {
		return false
	}
	return e.loops[i].post(entry{run: func(l *Loop) { f(l.Trace(id, event)) }})
}

// RememberReplay adds to what is remembered of an end, in Handler.Closed, that the client came with the cursor since
// and was given the events up to one from the change log.
func (c *Client) RememberReplay(since, upTo uint64) {
	for r := range c.loop.history.closes.newest {
		if r.ID == c.id {
			r.Cursor, r.Since, r.Replayed = true, since, upTo
		}
		return
	}
}
