package hub

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/fairqueue"
)

// recheck is how far asking again about a client's rows has come (Options.Rows.Recheck): from the
// last of its subscriptions to the first, one at a time, spread over the interval. When one ends the
// last takes its place, so none is passed over, and newcomers are put behind those that were asked
// about. Owned by the client's loop.
type recheck struct {
	began time.Time // the round
	next  int       // of the subscriptions
	rows  bool      // the round has come by one
	timer *time.Timer

	key  string          // of the row that is asked about
	task *fairqueue.Task // the same, nil when there is none
}

// keepRechecking is called when a subscription to a row has been allowed.
func (h *Hub) keepRechecking(c *eventloop.Client) {
	if s := stateOf(c); h.opts.Rows.Recheck > 0 && s.recheck == nil && c.Open() {
		// Clients that came together aren't asked about together for ever.
		s.recheck = &recheck{began: time.Now().Add(-rand.N(h.opts.Rows.Recheck)/2 - 1), next: math.MaxInt}
		h.recheckRows(c)
	}
}

// recheckRows asks about the next row, or waits until that is due.
func (h *Hub) recheckRows(c *eventloop.Client) {
	s, now := stateOf(c), time.Now()
	r := s.recheck
	if r == nil || r.task != nil {
		return
	}
	n := c.Subscriptions()
	for r.next = min(r.next, n-1); r.next >= 0; r.next-- {
		if key := c.SubscriptionAt(r.next); isRow(key) {
			r.rows = true
			if wait := r.due(n, h.opts.Rows.Recheck).Sub(now); wait > 0 {
				h.recheckAfter(c, r, wait)
				return
			}
			if h.askAgainAbout(c, s, key) {
				r.next--
				return
			}
		}
	}
	if !r.rows {
		s.recheck = nil // until it subscribes to one
		return
	}
	r.began, r.next, r.rows = laterOf(now, r.began.Add(h.opts.Rows.Recheck)), math.MaxInt, false
	h.recheckAfter(c, r, time.Until(r.began))
}

// due is when the next of n subscriptions is to be asked about.
func (r *recheck) due(n int, interval time.Duration) time.Time {
	return r.began.Add(interval / time.Duration(n) * time.Duration(n-r.next))
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (h *Hub) recheckAfter(c *eventloop.Client, r *recheck, wait time.Duration) {
	client := c.ID()
	r.timer = time.AfterFunc(wait, func() { h.engine.Post(client, h.recheckRows) })
}

// askAgainAbout is false for a row about which nothing has to be asked, or can be: then it is the
// next round's.
func (h *Hub) askAgainAbout(c *eventloop.Client, s *state, key string) bool {
	if s.rows != nil && s.rows.requests[key] != nil {
		return false // it is being asked about
	}
	r, client, asked := s.recheck, c.ID(), rowQuestion{identity: s.identity}
	asked.entity, asked.rowID = rowOfKey(key)
	task, err := h.queues.rechecks.Go(h.ownerOf(c), taskBytes+len(key), func(ctx context.Context) {
		denied := h.denies(ctx, asked)
		h.engine.Post(client, func(c *eventloop.Client) { h.askedAgain(c, r, denied) })
	})
	if err != nil {
		return false
	}
	r.key, r.task = key, task
	return true
}

// denies runs on a worker. Whatever keeps the service from answering takes no right away.
func (h *Hub) denies(ctx context.Context, asked rowQuestion) bool {
	ctx, cancel := context.WithTimeout(ctx, h.opts.Rows.Timeout)
	defer cancel()
	_, ok, err := h.callSnapshots(ctx, asked)
	if err != nil {
		h.noteFetchError(ctx, asked, err)
		return false
	}
	if !ok {
		h.counters.denied.Add(1)
	}
	return !ok
}

func (h *Hub) askedAgain(c *eventloop.Client, r *recheck, denied bool) {
	if stateOf(c).recheck != r {
		return
	}
	key := r.key
	r.end()
	if denied && key != "" {
		c.Unsubscribe(key)
	}
	h.recheckRows(c)
}

// overtaken says that a row is asked about anew: that answer counts.
func (r *recheck) overtaken(key string) {
	if r != nil && r.key == key {
		r.key = ""
	}
}

func (r *recheck) end() { r.key, r.task = "", nil }

// stop is called when the client isn't open any more.
func (r *recheck) stop() {
	if r == nil {
		return
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.task != nil {
		r.task.Cancel()
		r.end()
	}
}
