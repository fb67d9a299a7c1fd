package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// peer is a WebSocket client of somebody else's making, in this process or in a child.
type peer interface {
	send(text string)
	wait(within time.Duration, what string, match func(clientEvent) bool) clientEvent
	waitEvent(within time.Duration, name string) clientEvent
	close(code int, reason string)
	terminate()
}

// peers are all of them but the browser. way is "header" or "subprotocol"; an empty token means none.
var peers = map[string]func(t *testing.T, url, token, way string) peer{
	"coder":  func(t *testing.T, url, token, way string) peer { return startGoClient(t, url, token, way) },
	"node":   func(t *testing.T, url, token, way string) peer { return startNodeClient(t, url, token, way) },
	"python": func(t *testing.T, url, token, way string) peer { return startPythonClient(t, url, token, way) },
}

// goClient is wstest's client behind the interface of those in child processes. It is owned by its test.
type goClient struct {
	*wstest.Client
	t      *testing.T
	events chan clientEvent // closed behind the "close" event
	passed []string         // what wait has seen
}

// connect connects to the daemon with a token in the header.
func (d *daemon) connect(token string) *goClient {
	d.t.Helper()
	c := startGoClient(d.t, d.url(""), token, "header")
	c.waitEvent(soon, "open")
	return c
}

// url is the WebSocket's, with a query such as "?since=3" or none.
func (d *daemon) url(query string) string { return "ws://" + d.ws + "/" + query }

func startGoClient(t *testing.T, url, token, way string) *goClient {
	t.Helper()
	c := &goClient{t: t, events: make(chan clientEvent, maxClientEvents)}
	options := wstest.Bearer(token)
	if token != "" && way == "subprotocol" {
		options = &websocket.DialOptions{Subprotocols: []string{bearerProtocol(token)}}
	}
	client, answer, err := wstest.Dial(t, url, options)
	if err != nil {
		e := clientEvent{Event: "error", Message: err.Error()}
		if answer != nil {
			e.Status = answer.StatusCode
		}
		c.events <- e
		c.events <- clientEvent{Event: "close", Code: int(websocket.StatusAbnormalClosure)}
		close(c.events)
		return c
	}
	c.Client = client
	c.events <- clientEvent{Event: "open", Protocol: client.Subprotocol()}
	go c.read()
	t.Cleanup(func() {
		c.terminate()
		for range c.events { // the reader must have ended
		}
	})
	return c
}

// bearerProtocol is the subprotocol that carries a token (docs/protocol.md section 1). "+" would be a space there.
func bearerProtocol(token string) string {
	return "bearer." + strings.ReplaceAll(url.QueryEscape(token), "+", "%20")
}

func (c *goClient) read() {
	defer close(c.events)
	for {
		kind, data, err := c.Read(context.Background())
		if err != nil {
			c.events <- closeEvent(err)
			return
		}
		if kind == websocket.MessageText {
			c.events <- clientEvent{Event: "text", Data: string(data)}
		} else {
			c.events <- clientEvent{Event: "binary", Base64: data}
		}
	}
}

func closeEvent(err error) clientEvent {
	e := clientEvent{Event: "close", Code: int(websocket.StatusAbnormalClosure), Message: err.Error()}
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		e.Code, e.Reason = int(closed.Code), closed.Reason
	}
	return e
}

func (c *goClient) send(text string) {
	c.t.Helper()
	c.Send(text)
}

// try is send to a server that may have had enough.
func (c *goClient) try(text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	return c.Write(ctx, websocket.MessageText, []byte(text))
}

func (c *goClient) close(code int, reason string) {
	_ = c.Close(websocket.StatusCode(code), reason)
}

func (c *goClient) terminate() { _ = c.CloseNow() }

// wait is clientProcess's: it passes over what doesn't match.
func (c *goClient) wait(within time.Duration, what string, match func(clientEvent) bool) clientEvent {
	c.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		select {
		case e, ok := <-c.events:
			if !ok {
				c.t.Fatalf("the connection ended before %s, after %s", what, strings.Join(c.passed, "\n"))
			}
			c.passed = append(c.passed, fmt.Sprintf("%+v", e))
			if match(e) {
				return e
			}
		case <-deadline.C:
			c.t.Fatalf("no %s within %v, but %s", what, within, strings.Join(c.passed, "\n"))
		}
	}
}

func (c *goClient) waitEvent(within time.Duration, name string) clientEvent {
	c.t.Helper()
	return c.wait(within, name, func(e clientEvent) bool { return e.Event == name })
}

// message is a text message's JSON, as far as the tests look at it.
type message struct {
	Seq       uint64          `json:"seq"`
	Entity    string          `json:"entity"`
	RowID     string          `json:"row_id"`
	Kind      string          `json:"kind"`
	Data      json.RawMessage `json:"data"`
	Timestamp string          `json:"timestamp"`

	Type      string `json:"type"`
	From      string `json:"from"`
	Topic     string `json:"topic"`
	Event     string `json:"event"`
	ClientID  uint64 `json:"clientId"`
	OldestSeq uint64 `json:"oldest_seq"`
}

// parse is the message in a text event, the zero message in others.
func parse(e clientEvent) (m message) {
	if e.Event == "text" && json.Unmarshal([]byte(e.Data), &m) != nil {
		return message{Type: "not JSON"}
	}
	return m
}

// waitChange is the next change event.
func waitChange(p peer) message {
	return parse(p.wait(soon, "change event", func(e clientEvent) bool {
		m := parse(e)
		return m.Seq != 0 && m.Type == ""
	}))
}

// waitType is the next message of a type.
func waitType(p peer, name string) message {
	return parse(p.wait(soon, name+" message", func(e clientEvent) bool { return parse(e).Type == name }))
}

// waitClose is how the connection ended. It fails when it doesn't end with code.
func waitClose(t *testing.T, p peer, code int) (reason string) {
	t.Helper()
	e := p.waitEvent(soon, "close")
	if e.Code != code {
		t.Errorf("the connection ended with %d %q (%s), want %d", e.Code, e.Reason, e.Message, code)
	}
	return e.Reason
}

// rowFrame is a row's frame (docs/protocol.md section 3), kind 0x10 for a snapshot and 0x11 for an update.
func rowFrameOf(kind byte, entity, row, payload string) []byte {
	var b bytes.Buffer
	b.WriteByte(kind)
	for _, name := range []string{entity, row} {
		b.Write([]byte{byte(len(name) >> 8), byte(len(name))})
		b.WriteString(name)
	}
	b.WriteString(payload)
	return b.Bytes()
}

// wantFrame fails unless the next binary message is that row frame.
func wantFrame(t *testing.T, p peer, kind byte, entity, row, payload string) {
	t.Helper()
	want := rowFrameOf(kind, entity, row, payload)
	if got := p.waitEvent(soon, "binary").Base64; !bytes.Equal(got, want) {
		t.Errorf("row frame %q, want %q", got, want)
	}
}
