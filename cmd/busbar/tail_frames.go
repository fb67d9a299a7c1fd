package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/busbar-ws/busbar/wsproto"
)

// next reads one whole text or binary message. Control frames before and in it are
// acted on. The error is a *tailEnd once the server has sent a Close.
func (c *tailConnection) next() (ws.OpCode, []byte, error) {
	for {
		header, err := c.reader.NextFrame()
		if err != nil {
			return 0, nil, c.broken(err)
		}
		if c.accepted != nil && header.OpCode != ws.OpClose {
			c.accepted()
			c.accepted = nil
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
		_, _ = io.Copy(io.Discard, c.conn) // the rest, and the answer: unread they would cost the server our Close
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
