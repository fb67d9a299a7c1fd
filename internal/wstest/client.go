package wstest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// Client is coder/websocket whose every call has to end within Patience, and fails its test where
// it doesn't do what is expected. Owned by its test; one goroutine may read while another sends.
type Client struct {
	*websocket.Conn
	T testing.TB

	length int // of the message read last
}

// Bearer are the options of a client with a token in its Authorization header, without one when
// the token is empty.
func Bearer(token string) *websocket.DialOptions {
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	if token != "" {
		o.HTTPHeader.Set("Authorization", "Bearer "+token)
	}
	return o
}

// Dial connects to a ws:// URL until the test ends. The response is there when the server has
// refused, too.
func Dial(t testing.TB, url string, o *websocket.DialOptions) (*Client, *http.Response, error) {
	t.Helper()
	conn, answer, err := websocket.Dial(within(t), url, o)
	if err != nil {
		return nil, answer, err
	}
	conn.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &Client{Conn: conn, T: t}, answer, nil
}

// Connect is Dial with a token, and has to succeed.
func Connect(t testing.TB, url, token string) *Client {
	t.Helper()
	c, _, err := Dial(t, url, Bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Read is Conn's, into a buffer for a message as long as the one before: growing it copies a large one five times,
// which took half the time of tests under the race detector.
func (c *Client) Read(ctx context.Context) (websocket.MessageType, []byte, error) {
	kind, r, err := c.Reader(ctx)
	if err != nil {
		return 0, nil, err
	}
	payload := bytes.NewBuffer(make([]byte, 0, c.length+bytes.MinRead))
	_, err = payload.ReadFrom(r)
	c.length = payload.Len()
	return kind, payload.Bytes(), err
}

// Next reads one message.
func (c *Client) Next() (websocket.MessageType, []byte) {
	c.T.Helper()
	kind, payload, err := c.Read(within(c.T))
	if err != nil {
		c.T.Fatalf("reading: %v", err)
	}
	return kind, payload
}

// Text reads one message, which has to be text.
func (c *Client) Text() string {
	c.T.Helper()
	kind, payload := c.Next()
	if kind != websocket.MessageText {
		c.T.Fatalf("got a binary message of %d bytes where text was expected", len(payload))
	}
	return string(payload)
}

// Expect reads one message, which has to be this one.
func (c *Client) Expect(kind websocket.MessageType, want string) {
	c.T.Helper()
	if got, payload := c.Next(); got != kind || string(payload) != want {
		c.T.Fatalf("got %v %q, want %v %q", got, payload, kind, want)
	}
}

// Send sends a text message.
func (c *Client) Send(text string) {
	c.T.Helper()
	if err := c.Write(within(c.T), websocket.MessageText, []byte(text)); err != nil {
		c.T.Fatalf("sending %s: %v", text, err)
	}
}

// Closed reads until the server's Close.
func (c *Client) Closed() (code websocket.StatusCode, reason string) {
	c.T.Helper()
	for {
		_, _, err := c.Read(within(c.T))
		if err == nil {
			continue
		}
		var closed websocket.CloseError
		if !errors.As(err, &closed) {
			c.T.Fatalf("ended without Close: %v", err)
		}
		return closed.Code, closed.Reason
	}
}

// ExpectClose reads until the server's Close, which has to have this code.
func (c *Client) ExpectClose(code websocket.StatusCode) {
	c.T.Helper()
	if got, reason := c.Closed(); got != code {
		c.T.Fatalf("closed with %d %q, want %d", got, reason, code)
	}
}
