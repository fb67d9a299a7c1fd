package client

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Client is one client, over as many connections as it takes. See the package for who may call what.
type Client struct {
	url  string
	opts Options

	// Run's own.
	token   string // of the last connection
	next    string // for the next one, if it is known
	refused error  // why the last token is no good; nil when there is another one
	cursor  *uint64
	sent    *uint64 // with which cursor this connection began
	gap     bool    // the next resync is about events that the log has
	filling bool    // change events wait for the pull that comes first
	newest  uint64  // the log's newest event when this began
	backoff backoff

	mu            sync.Mutex
	conn          *websocket.Conn // nil while there is none
	subscriptions []Subscription
	presence      []byte
	at            uint64 // the cursor, for Cursor
	has           bool
}

// New is a client of the server at url, a WebSocket's such as wss://live.example.com. It does nothing until Run.
func New(url string, opts Options) *Client {
	opts.setDefaults()
	c := &Client{url: url, opts: opts, backoff: backoff{min: opts.MinDelay, max: opts.MaxDelay}}
	c.subscriptions = slices.Clone(opts.Subscribe)
	if opts.Since != nil {
		c.move(*opts.Since)
	}
	return c
}

// Run connects, and stays connected until ctx ends: then it closes the connection with 1000 and returns ctx's error.
// It returns a *CloseError after a code behind which nothing is to be had (wsproto.CloseCodes), what refused the token
// when there is no other, what Handle returned, or what Options.Retry didn't want to go on after.
func (c *Client) Run(ctx context.Context) error {
	for {
		c.tell(State{Phase: Connecting})
		started := time.Now()
		opened, err := c.connect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if final := (finalError{}); errors.As(err, &final) {
			return final.error
		}
		closed := (*CloseError)(nil)
		c.refused = refusal(err)
		switch {
		case c.refused != nil && c.sameToken(ctx):
			return err
		case c.refused == nil && errors.As(err, &closed) && !closed.Retry(), !c.retry(err):
			return err
		}
		lasted := time.Duration(0)
		if opened {
			lasted = time.Since(started)
		}
		delay := c.backoff.next(err, lasted, rand.Float64())
		c.tell(State{Waiting, err, delay})
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sameToken asks for another token in place of one that was refused, and is true when there is none.
func (c *Client) sameToken(ctx context.Context) bool {
	token, err := c.opts.Token(ctx, c.refused)
	if err != nil {
		return false // it is asked for again
	}
	c.refused = nil
	if token == c.token {
		return true
	}
	c.next = token
	return false
}

func (c *Client) tell(s State) {
	if c.opts.State != nil {
		c.opts.State(s)
	}
}

func (c *Client) retry(err error) bool { return c.opts.Retry == nil || c.opts.Retry(err) }

// move sets the cursor.
func (c *Client) move(seq uint64) {
	c.cursor = &seq
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.has = seq, seq != Latest
}

// Cursor is the seq up to which everything was handled; false before the first event of a client that began without.
func (c *Client) Cursor() (seq uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.has
}

// Send sends a message, encoded as JSON. Nothing is kept to be sent later: without a connection it is ErrNotConnected.
func (c *Client) Send(ctx context.Context, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return c.write(ctx, text)
}

// SetPresence tells the others of this client: now, if it is connected, and on each new connection. presence is an
// object; its type is set here. nil: no more on new ones.
func (c *Client) SetPresence(ctx context.Context, presence map[string]any) error {
	var text []byte
	if presence != nil {
		typed := map[string]any{}
		for key, value := range presence {
			typed[key] = value
		}
		typed["type"] = "presence"
		var err error
		if text, err = json.Marshal(typed); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.presence = text
	c.mu.Unlock()
	if text == nil {
		return nil
	}
	return c.unlessAway(c.write(ctx, text))
}

// Subscribe begins a subscription, now if the client is connected, and again on each new connection. That of a row brings
// its snapshot, each time.
func (c *Client) Subscribe(ctx context.Context, s Subscription) error {
	c.mu.Lock()
	if !slices.Contains(c.subscriptions, s) {
		c.subscriptions = append(c.subscriptions, s)
	}
	c.mu.Unlock()
	return c.unlessAway(c.Send(ctx, s.message("")))
}

// Unsubscribe ends a subscription.
func (c *Client) Unsubscribe(ctx context.Context, s Subscription) error {
	c.mu.Lock()
	c.subscriptions = slices.DeleteFunc(c.subscriptions, func(other Subscription) bool { return other == s })
	c.mu.Unlock()
	return c.unlessAway(c.Send(ctx, s.message("un")))
}

// unlessAway passes over that there is no connection: the next one begins with what was to be sent.
func (c *Client) unlessAway(err error) error {
	if errors.Is(err, ErrNotConnected) {
		return nil
	}
	return err
}

func (c *Client) write(ctx context.Context, text []byte) error {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn == nil {
		return ErrNotConnected
	}
	return conn.Write(ctx, websocket.MessageText, text)
}
