package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// connect connects and handles messages until the connection ends. opened says whether the server had let it in; the
// error is never nil.
func (c *Client) connect(ctx context.Context) (opened bool, err error) {
	// A token that is no good is upgraded and closed with 1008 (docs/protocol.md section 1): only what comes before a
	// Close says that it is.
	accepted := sync.OnceFunc(func() {
		opened = true
		c.tell(State{Phase: Open})
	})
	conn, err := c.dial(ctx, accepted)
	if err != nil {
		return false, err
	}
	defer conn.CloseNow()
	// The end of ctx has to reach a connection on which nothing happens.
	interrupted := context.AfterFunc(ctx, func() { _ = conn.Close(websocket.StatusNormalClosure, "") })
	defer interrupted()
	if err := c.begin(ctx, conn); err != nil {
		return opened, err
	}
	defer c.use(nil)
	alive := newLife(conn, c.opts.Quiet, c.opts.Patience)
	defer alive.end()
	for {
		alive.reading()
		kind, data, err := conn.Read(context.Background())
		alive.handling()
		if err == nil && kind == websocket.MessageText && !utf8.Valid(data) { // RFC 6455 section 8.1
			err = ErrNotUTF8
			_ = conn.Close(websocket.StatusInvalidFramePayloadData, "")
		}
		if err != nil {
			return opened, alive.explain(broken(conn, err))
		}
		accepted()
		if ctx.Err() != nil {
			continue // until the other side has answered our Close
		}
		if err := c.received(ctx, parse(kind, data)); err != nil {
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return opened, err
		}
	}
}

// dial calls accepted when the first answer to a ping comes.
func (c *Client) dial(ctx context.Context, accepted func()) (*websocket.Conn, error) {
	token, err := c.next, error(nil)
	if token == "" {
		if token, err = c.opts.Token(ctx, c.refused); err != nil {
			return nil, fmt.Errorf("asking for a token: %w", err)
		}
	}
	if c.refused != nil && token == c.token {
		return nil, finalError{c.refused}
	}
	c.next, c.refused = "", nil
	c.token, c.sent, c.gap = token, c.cursor, false
	target, err := url.Parse(c.url)
	if err != nil {
		return nil, finalError{err}
	}
	// With -routing subscribed, events between a replay and the subscriptions would be lost: there a client subscribes
	// first and then pulls (docs/protocol.md section 1).
	c.filling = c.opts.API != "" && c.sent != nil && *c.sent != Latest && c.hasEntities()
	if since := c.sent; since != nil {
		if c.filling {
			since = new(uint64(Latest))
		}
		query := target.Query()
		query.Set("since", strconv.FormatUint(*since, 10))
		target.RawQuery = query.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, 3*c.opts.Patience)
	defer cancel()
	conn, answer, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		HTTPClient: c.opts.HTTPClient, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
		OnPongReceived: func(context.Context, []byte) { accepted() },
	})
	if err != nil {
		if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
			return nil, &StatusError{answer.StatusCode, retryAfter(answer.Header.Get("Retry-After"))}
		}
		return nil, fmt.Errorf("connecting to %s: %w", c.url, err)
	}
	conn.SetReadLimit(c.opts.MaxMessage)
	return conn, nil
}

// begin sends what a new connection begins with, and lets others send on it.
func (c *Client) begin(ctx context.Context, conn *websocket.Conn) error {
	c.mu.Lock()
	subscriptions, presence := slices.Clone(c.subscriptions), c.presence
	c.conn = conn // what is subscribed to from now on may be sent twice, which does no harm
	c.mu.Unlock()
	var messages [][]byte
	for _, s := range subscriptions {
		text, _ := json.Marshal(s.message("")) // strings alone: can't fail
		messages = append(messages, text)
	}
	if presence != nil {
		messages = append(messages, presence)
	}
	if c.filling {
		messages = append(messages, []byte(`{"type":"ping"}`)) // its answer says that the subscriptions have been made
	}
	for _, text := range messages {
		if err := conn.Write(context.Background(), websocket.MessageText, text); err != nil {
			c.use(nil)
			return fmt.Errorf("subscribing: %w", err)
		}
	}
	return nil
}

func (c *Client) use(conn *websocket.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
}

// broken says what ended the connection.
func broken(conn *websocket.Conn, err error) error {
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return &CloseError{closed.Code, closed.Reason}
	case errors.Is(err, websocket.ErrMessageTooBig):
		_ = conn.Close(websocket.StatusMessageTooBig, "") // reads the rest: unread it would cost the server our Close
		return finalError{ErrTooBig}
	}
	return err
}

// life is whether a connection lives. It counts up when a read begins, which makes it even, and when it ends: only while
// one is under way can the answer to a ping come in.
type life struct {
	conn            *websocket.Conn
	quiet, patience time.Duration
	count           atomic.Uint64
	silent          atomic.Bool
	timer           *time.Timer
	cancel          context.CancelFunc
}

func newLife(conn *websocket.Conn, quiet, patience time.Duration) *life {
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{conn: conn, quiet: quiet, patience: patience, cancel: cancel}
	l.count.Store(1)
	l.timer = time.AfterFunc(0, func() { l.ask(ctx) }) // at once, so that something comes when nothing is published
	return l
}

func (l *life) ask(ctx context.Context) {
	count := l.count.Load()
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	err := l.conn.Ping(ctx) // another error is one that the read meets, too
	if err != nil && ctx.Err() == context.DeadlineExceeded && count%2 == 0 && l.count.Load() == count {
		l.silent.Store(true)
		_ = l.conn.CloseNow()
		return
	}
	if l.count.Load()%2 == 0 {
		l.timer.Reset(l.quiet)
	}
}

func (l *life) reading() {
	if l.count.Add(1) > 2 { // the first ping is under way
		l.timer.Reset(l.quiet)
	}
}

func (l *life) handling() {
	l.count.Add(1)
	l.timer.Stop()
}

func (l *life) end() {
	l.timer.Stop()
	l.cancel()
}

func (l *life) explain(err error) error {
	if l.silent.Load() {
		return ErrSilent
	}
	return err
}
