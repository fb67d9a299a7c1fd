package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/busbar-ws/busbar/wsproto"
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
}

// connect connects, subscribes and prints until the connection ends. opened says whether
// there was a connection; the error is never nil unless the tailer is done or ctx ended.
func (t *tailer) connect(ctx context.Context) (opened bool, err error) {
	c, err := t.dial(ctx)
	if err != nil {
		return false, t.explainDial(err)
	}
	defer c.conn.Close()
	fmt.Fprintf(t.s.err, "busbar: tail: connected to %s\n", t.cfg.url)
	// Ctrl-C has to reach a connection on which nothing happens.
	interrupted := context.AfterFunc(ctx, func() { c.close(ws.StatusNormalClosure) })
	defer interrupted()
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

// next reads one whole text or binary message. Control frames before and in it are
// acted on. The error is a *tailEnd once the server has sent a Close.
func (c *tailConnection) next() (ws.OpCode, []byte, error) {
	for {
		header, err := c.reader.NextFrame()
		if err != nil {
			return 0, nil, c.broken(err)
		}
		if header.OpCode.IsControl() {
			if err := c.control(header, &c.reader); err != nil {
				return 0, nil, c.broken(err)
			}
			continue
		}
		message, err := io.ReadAll(io.LimitReader(&c.reader, int64(c.max)+1))
		if err == nil && len(message) > c.max {
			err = wsutil.ErrFrameTooLarge
		}
		if err != nil {
			return 0, nil, c.broken(err)
		}
		return header.OpCode, message, nil
	}
}

// control acts on a control frame whose payload is behind r.
func (c *tailConnection) control(header ws.Header, r io.Reader) error {
	payload, err := io.ReadAll(r) // at most 125 bytes: the reader checked (RFC 6455 section 5.5)
	if err != nil {
		return err
	}
	switch header.OpCode {
	case ws.OpPing: // RFC 6455 section 5.5.3: the same payload back
		return c.send(ws.NewPongFrame(payload))
	case ws.OpClose:
		code, reason, err := wsproto.ParseClose(payload)
		if err != nil {
			return err
		}
		answer := ws.NewCloseFrame(nil)
		if code != ws.StatusNoStatusRcvd {
			answer = ws.NewCloseFrame(ws.NewCloseFrameBody(code, ""))
		}
		_ = c.send(answer) // RFC 6455 section 5.5.1; the connection ends either way
		return newTailEnd(code, reason)
	}
	return nil
}

// broken says what ended the connection, and tells the server where that was its doing.
func (c *tailConnection) broken(err error) error {
	var end *tailEnd
	switch {
	case errors.As(err, &end):
		return err
	case errors.Is(err, wsutil.ErrFrameTooLarge):
		c.close(ws.StatusMessageTooBig)
		return &finalError{fmt.Errorf("a message is larger than -max-message %s", formatSize(c.max))}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended without a Close")
	}
	return fmt.Errorf("the connection broke: %w", err)
}

// send writes one masked frame (RFC 6455 section 5.3) in one call, so that frames from
// several goroutines don't mix.
func (c *tailConnection) send(f ws.Frame) error {
	b, err := ws.CompileFrame(ws.MaskFrame(f))
	if err != nil {
		return err
	}
	_, err = c.conn.Write(b)
	return err
}

// close starts the closing handshake. The reader goes on until the answer, for a while.
func (c *tailConnection) close(code ws.StatusCode) {
	_ = c.conn.SetDeadline(time.Now().Add(closeTimeout))
	_ = c.send(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
}
