package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

// received hands over a message, and acts on it.
func (c *Client) received(ctx context.Context, m Message) error {
	switch {
	case m.Change != nil:
		return c.change(ctx, m)
	case c.filling && m.Type == "resync":
		c.newest = m.seq
		return nil
	case c.filling && m.Type == "pong":
		c.filling = false
		return c.fill(ctx)
	}
	if err := c.handle(ctx, m); err != nil {
		return err
	}
	switch m.Type {
	case "gap":
		c.gap = true
	case "resync":
		return c.resync(ctx, m.seq, m.complete)
	}
	return nil
}

// hasEntities is whether there are subscriptions to change events.
func (c *Client) hasEntities() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.subscriptions, func(s Subscription) bool { return s.Topic == "" && s.RowID == "" })
}

// fill pulls what came before the subscriptions.
func (c *Client) fill(ctx context.Context) error {
	found, err := c.pull(ctx, math.MaxUint64)
	if err != nil || found {
		return err
	}
	return c.refetch(ctx, c.newest)
}

func (c *Client) handle(ctx context.Context, m Message) error {
	if err := c.opts.Handle(ctx, m); err != nil {
		return finalError{err}
	}
	return nil
}

// change hands over an event that is new: those behind one that was pulled or replayed may come once more.
func (c *Client) change(ctx context.Context, m Message) error {
	if c.filling || c.cursor != nil && *c.cursor != Latest && m.Change.Seq <= *c.cursor {
		return nil
	}
	if err := c.handle(ctx, m); err != nil {
		return err
	}
	c.move(m.Change.Seq)
	return nil
}

// resync fetches what was lost up to seq: by a pull, by connecting again, or all anew.
func (c *Client) resync(ctx context.Context, seq uint64, complete bool) error {
	if c.cursor == nil || *c.cursor == Latest {
		c.move(seq)
		c.sent = c.cursor
		return nil
	}
	// Ahead of all events: the log doesn't reach back to where this connection began.
	atOnce := c.sent != nil && *c.sent == *c.cursor && !c.gap
	c.gap = false
	if c.opts.API != "" && complete && !atOnce {
		found, err := c.pull(ctx, seq)
		if err != nil {
			return err
		}
		if found {
			return c.subscribeRows(ctx)
		}
	} else if !atOnce && c.retry(ErrLost) {
		return ErrLost
	}
	if err := c.refetch(ctx, seq); err != nil || atOnce {
		return err // at once, rows have just been subscribed to
	}
	return c.subscribeRows(ctx)
}

// refetch has the application fetch everything anew.
func (c *Client) refetch(ctx context.Context, seq uint64) error {
	if c.opts.Refetch != nil {
		cursor, err := c.opts.Refetch(ctx, seq)
		if err != nil {
			return fmt.Errorf("fetching everything anew: %w", err) // the next connection is told the same
		}
		seq = cursor
	}
	c.move(seq)
	return nil
}

// subscribeRows brings the snapshots of all rows.
func (c *Client) subscribeRows(ctx context.Context) error {
	c.mu.Lock()
	subscriptions := append([]Subscription(nil), c.subscriptions...)
	c.mu.Unlock()
	for _, s := range subscriptions {
		if s.Topic == "" && s.RowID != "" {
			if err := c.Send(ctx, s.message("")); err != nil {
				return fmt.Errorf("subscribing: %w", err)
			}
		}
	}
	return nil
}

// pull hands over the events up to seq, or all with the highest there is. False: the log doesn't have them any more.
func (c *Client) pull(ctx context.Context, seq uint64) (found bool, err error) {
	for more := true; more && *c.cursor < seq; {
		from := *c.cursor
		page, err := c.page(ctx, *c.cursor)
		if page == nil || err != nil {
			return false, err
		}
		for _, event := range page.Changes {
			m := parse(websocket.MessageText, event)
			if m.Change == nil {
				return false, errNoChange
			}
			if err := c.change(ctx, m); err != nil {
				return false, err
			}
		}
		c.move(max(*c.cursor, page.Cursor.LastSeq))
		if more = page.HasMore; more && *c.cursor == from {
			return false, errors.New("pulling: there is more, and nothing came")
		}
	}
	if seq != math.MaxUint64 {
		c.move(max(*c.cursor, seq))
	}
	return true, nil
}

var errNoChange = errors.New("pulling: there is something else among the change events")

type page struct {
	Changes []json.RawMessage `json:"changes"`
	Cursor  struct {
		LastSeq uint64 `json:"last_seq"`
	} `json:"cursor"`
	HasMore  bool  `json:"has_more"`
	Complete *bool `json:"complete"`
}

// page asks for the events behind a seq; nil when the log doesn't have them.
func (c *Client) page(ctx context.Context, since uint64) (*page, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*c.opts.Patience)
	defer cancel()
	target := fmt.Sprintf("%s/api/sync/pull?%s", strings.TrimSuffix(c.opts.API, "/"),
		url.Values{"since": {fmt.Sprint(since)}, "limit": {"1000"}}.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, finalError{err}
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	answer, err := c.opts.HTTPClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("pulling: %w", err)
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusGone:
		return nil, nil
	default:
		_, _ = io.CopyN(io.Discard, answer.Body, 4096)
		return nil, fmt.Errorf("pulling: %w", &StatusError{answer.StatusCode, retryAfter(answer.Header.Get("Retry-After"))})
	}
	text, err := io.ReadAll(answer.Body)
	var p page
	if err == nil {
		err = strictjson.Unmarshal(text, &p)
	}
	if err != nil {
		return nil, fmt.Errorf("pulling: %w", err)
	}
	if p.Complete != nil && !*p.Complete {
		return nil, nil
	}
	return &p, nil
}
