package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const (
	dialTimeout = 15 * time.Second
	// closeTimeout is how long the other side has to answer a Close (RFC 6455 section 7.1.1).
	closeTimeout = 2 * time.Second
)

// tailConnection is one connection of a tailer. Its reading half belongs to one
// goroutine; send may be called from any.
type tailConnection struct {
	conn   net.Conn
	reader wsutil.Reader
	max    int

	// accepted is called at the first frame that isn't a Close; nil afterwards. A token that is no
	// good is upgraded and closed with 1008 (docs/protocol.md section 1): only then is it known that it isn't.
	accepted func()
}

// connect connects, subscribes and prints until the connection ends. opened says whether
// there was a connection; the error is never nil unless the tailer is done or ctx ended.
func (t *tailer) connect(ctx context.Context) (opened bool, err error) {
	c, err := t.dial(ctx)
	if err != nil {
		return false, t.explainDial(err)
	}
	defer c.conn.Close()
	c.accepted = func() { fmt.Fprintf(t.s.err, "busbar: tail: connected to %s\n", t.cfg.url) }
	// Ctrl-C has to reach a connection on which nothing happens.
	interrupted := context.AfterFunc(ctx, func() { c.close(ws.StatusNormalClosure) })
	defer interrupted()
	_ = c.send(ws.NewPingFrame(nil)) // so that there is a frame when nothing is published; reading says what went wrong
	for _, message := range t.cfg.subscriptions() {
		if err := c.send(ws.NewTextFrame(message)); err != nil {
			return true, fmt.Errorf("subscribing: %w", err)
		}
	}
	for {
		op, message, err := c.next()
		if err != nil {
			return true, err
		}
		if ctx.Err() != nil || t.done() {
			continue // until the other side has answered our Close
		}
		t.cursor.see(op, message)
		if err := t.print(op, message); err != nil {
			return true, &finalError{err}
		}
		if t.printed++; t.done() {
			c.close(ws.StatusNormalClosure)
		}
	}
}

// finalError is an error that another connection would meet again.
type finalError struct{ error }

func (t *tailer) dial(ctx context.Context) (*tailConnection, error) {
	target, err := url.Parse(t.cfg.url)
	if err != nil {
		return nil, err
	}
	if t.cursor.known {
		query := target.Query()
		query.Set("since", strconv.FormatUint(t.cursor.seq, 10))
		target.RawQuery = query.Encode()
	}
	dialer := ws.Dialer{
		Timeout: dialTimeout,
		Header:  ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + t.token}}),
	}
	conn, buffered, _, err := dialer.Dial(ctx, target.String())
	if err != nil {
		return nil, err
	}
	if buffered == nil {
		buffered = bufio.NewReader(conn)
	}
	c := &tailConnection{conn: conn, max: t.cfg.max}
	c.reader = wsutil.Reader{
		Source: buffered, State: ws.StateClientSide, CheckUTF8: true,
		MaxFrameSize: int64(t.cfg.max), OnIntermediate: c.control,
	}
	return c, nil
}

// subscriptions are the messages that a client sends again on each connection.
func (cfg *tailConfig) subscriptions() [][]byte {
	var messages [][]byte
	add := func(m map[string]string) {
		b, _ := json.Marshal(m) // strings alone: can't fail
		messages = append(messages, b)
	}
	for _, topic := range cfg.topics {
		add(map[string]string{"type": "subscribe", "topic": topic})
	}
	for _, entity := range cfg.entities {
		add(map[string]string{"type": "subscribe", "entity": entity})
	}
	for _, row := range cfg.rows {
		add(map[string]string{"type": "crdt-subscribe", "entity": row.entity, "rowId": row.id})
	}
	return messages
}
