package hub

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// Laggard is a client of this node that hasn't taken all that it was sent.
type Laggard struct {
	ClientInfo
	State    string    `json:"state"`        // lagging, catching_up from the change log, or closing
	Since    time.Time `json:"behind_since"` // to a tenth of a second
	Bytes    int64     `json:"bytes"`        // that wait for it
	Messages int       `json:"messages"`     // the same
}

// Closed is the end of a client's connection.
type Closed struct {
	ID          uint64    `json:"id"`
	UserID      string    `json:"user_id"` // its first 256 bytes, as in Lost
	Tenant      string    `json:"tenant,omitempty"`
	Address     string    `json:"address"`
	ConnectedAt time.Time `json:"connected_at"`
	ClosedAt    time.Time `json:"closed_at"`
	Cause       string    `json:"cause"`         // one of Stats.Closed
	Messages    int       `json:"lost_messages"` // that it was owed and not sent whole
	Seqs        *SeqRange `json:"lost_seqs,omitempty"`
}

// Lost is what one client lost without losing its connection, or clients of one event loop.
type Lost struct {
	At       time.Time `json:"at"`
	Cause    string    `json:"cause"`    // slow, mailbox, memory or log
	Messages int       `json:"messages"` // 0 when that isn't known
	Seqs     *SeqRange `json:"seqs,omitempty"`

	ID      uint64 `json:"id,omitempty"` // 0: of some or all clients of the loop
	UserID  string `json:"user_id,omitempty"`
	Tenant  string `json:"tenant,omitempty"`
	Address string `json:"address,omitempty"`
	Loop    int    `json:"loop"`
}

// SeqRange is a stretch of change events, in which there may be others too. Both ends are included.
type SeqRange struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

func rangeOf(g eventloop.Gap) *SeqRange {
	if g.Empty() {
		return nil
	}
	return &SeqRange{g.From, g.To}
}

// Recent selects from what is remembered of closes and losses: a few hundred of each for each event loop.
type Recent struct {
	Client uint64 // 0: any
	User   string // empty: any
	Limit  int
}

func (r *Recent) selects(id uint64, user string) bool {
	return (r.Client == 0 || r.Client == id) && (r.User == "" || eventloop.Remembered(r.User) == user)
}

// Laggards are the clients of this node that are furthest behind, in bytes, and how many are behind in all.
func (h *Hub) Laggards(ctx context.Context, limit int) (furthest []Laggard, all int, err error) {
	byLoop := make([][]Laggard, h.Loops())
	err = h.engine.Each(ctx, func(l *eventloop.Loop) {
		some := &byLoop[l.Index()]
		l.Laggards(func(c *eventloop.Client, g eventloop.Laggard) {
			one := Laggard{ClientInfo: infoOf(c), State: "lagging", Since: g.Since, Bytes: g.Bytes, Messages: g.Messages}
			one.ConnectedAt = g.Opened
			switch {
			case g.Closing:
				one.State = "closing"
			case g.Replays:
				one.State = "catching_up"
			}
			*some = append(*some, one)
		})
	})
	if err != nil {
		return nil, 0, err
	}
	furthest = slices.Concat(byLoop...)
	slices.SortFunc(furthest, func(a, b Laggard) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.ID, b.ID))
	})
	all = len(furthest)
	return furthest[:min(max(limit, 0), all)], all, nil
}

// Closes are the newest ends of this node's clients, the newest first. Of those that ended after since none is missing.
func (h *Hub) Closes(ctx context.Context, r Recent) (closes []Closed, since time.Time, err error) {
	return recent(ctx, h, r.Limit, func(l *eventloop.Loop) (some []Closed, since time.Time) {
		found, since := l.Closes()
		for _, c := range found {
			if r.selects(c.ID, c.User) {
				some = append(some, Closed{
					ID: c.ID, UserID: c.User, Tenant: c.Tenant, Address: c.Addr.String(), ConnectedAt: c.Opened, ClosedAt: c.At,
					Cause: c.Cause.String(), Messages: c.Messages, Seqs: rangeOf(c.Events),
				})
			}
		}
		return some, since
	}, func(c *Closed) time.Time { return c.ClosedAt })
}

// Losses are what clients of this node lost last and stayed connected, the newest first. Of those after since none is
// missing. For a client or a user they are also those of a loop's clients, who may have been others.
func (h *Hub) Losses(ctx context.Context, r Recent) (losses []Lost, since time.Time, err error) {
	return recent(ctx, h, r.Limit, func(l *eventloop.Loop) (some []Lost, since time.Time) {
		found, since := l.Losses()
		for _, n := range found {
			if n.ID != 0 && !r.selects(n.ID, n.User) || n.ID == 0 && r.Client != 0 && eventloop.LoopOf(r.Client) != n.Loop {
				continue
			}
			one := Lost{
				At: n.At, Cause: n.Cause.String(), Messages: n.Messages, Seqs: rangeOf(n.Events),
				ID: n.ID, UserID: n.User, Tenant: n.Tenant, Loop: n.Loop,
			}
			if n.ID != 0 {
				one.Address = n.Addr.String()
			}
			some = append(some, one)
		}
		return some, since
	}, func(n *Lost) time.Time { return n.At })
}

// recent puts together what the loops remember, each the newest first.
func recent[T any](ctx context.Context, h *Hub, limit int, of func(*eventloop.Loop) ([]T, time.Time), at func(*T) time.Time) (all []T, since time.Time, err error) {
	byLoop, forgot := make([][]T, h.Loops()), make([]time.Time, h.Loops())
	err = h.engine.Each(ctx, func(l *eventloop.Loop) { byLoop[l.Index()], forgot[l.Index()] = of(l) })
	if err != nil {
		return nil, time.Time{}, err
	}
	all = slices.Concat(byLoop...)
	slices.SortStableFunc(all, func(a, b T) int { return at(&b).Compare(at(&a)) })
	since = slices.MaxFunc(append(forgot, h.engine.Started()), time.Time.Compare)
	return all[:min(max(limit, 0), len(all))], since, nil
}
