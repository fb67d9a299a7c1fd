package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// upgrade asks for a connection with a header and protocols, and returns who it is, the
// close code and reason, and the subprotocol that was echoed. On success the code is -1.
func upgrade(t *testing.T, h *Hub, authorization string, protocols ...string) (user string, code websocket.StatusCode, reason, echoed string) {
	t.Helper()
	o := &websocket.DialOptions{Subprotocols: protocols, HTTPHeader: http.Header{}}
	if authorization != "" {
		o.HTTPHeader.Set("Authorization", authorization)
	}
	conn, resp, err := dialWith(t, h, "", o)
	if err != nil {
		t.Fatal(err)
	}
	c := listenOn(t, conn)
	_ = c.Write(within(t), websocket.MessageText, []byte(`{"type":"presence","ask":1}`)) // or it is closed already
	const mine = `{"type":"presence","ask":1,"from":"`
	m, err := c.receive()
	for err == nil && !strings.HasPrefix(m.String(), mine) { // somebody else has left
		m, err = c.receive()
	}
	echoed = strings.Join(resp.Header.Values("Sec-WebSocket-Protocol"), "|")
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return "", closed.Code, closed.Reason, echoed
	}
	if err != nil {
		t.Fatal(err)
	}
	user = strings.TrimSuffix(strings.TrimPrefix(m.String(), mine), `"}`)
	return user, -1, "", echoed
}

// docs/protocol.md section 1: where a token is looked for, and what is echoed.
func TestTokenIsTakenFromHeaderOrSubprotocol(t *testing.T) {
	h := start(t, nil)
	const no = ""
	for _, c := range []struct {
		name, header string
		protocols    []string
		user, echoed string
	}{
		{"header", "Bearer alice", nil, "alice", no},
		{"scheme in other case", "bEARER alice", nil, "alice", no},
		{"subprotocol", no, []string{"bearer.alice"}, "alice", "bearer.alice"},
		{"percent-encoded", no, []string{"bearer.al%69ce%2f%F0%9F%A6%80"}, "alice/🦀", "bearer.al%69ce%2f%F0%9F%A6%80"},
		{"plus is space", no, []string{"bearer.a+b"}, "a b", "bearer.a+b"},
		{"among others", no, []string{"chat", "bearer.alice", "v2"}, "alice", "bearer.alice"},
		{"first that decodes", no, []string{"bearer.%zz", "bearer.%ff", "bearer.", "bearer.alice", "bearer.bob"}, "alice", "bearer.alice"},
		{"header wins, and the entry is still echoed", "Bearer alice", []string{"bearer.b%6fb"}, "alice", "bearer.b%6fb"},
		{"others are never echoed", "Bearer alice", []string{"chat", "v2"}, "alice", no},
		{"no bearer scheme", "Basic alice", []string{"bearer.bob"}, "bob", "bearer.bob"},
	} {
		t.Run(c.name, func(t *testing.T) {
			user, code, _, echoed := upgrade(t, h, c.header, c.protocols...)
			if user != c.user || code != -1 || echoed != c.echoed {
				t.Errorf("became %q (close code %d), echoed %q; want %q, %q", user, code, echoed, c.user, c.echoed)
			}
		})
	}
}

// docs/protocol.md section 1: without a valid token the upgrade is completed, so that a page in a browser
// can read why it was closed.
func TestRejectedByClose(t *testing.T) {
	h := start(t, nil)
	for _, c := range []struct {
		name, header string
		protocols    []string
		echoed       string
		reason       string
	}{
		{"no token", "", nil, "", ErrUnauthorized.Error()},
		{"unknown token", "Bearer nobody", nil, "", invalidToken},
		{"unknown token of a browser", "", []string{"bearer.nobody"}, "bearer.nobody", invalidToken},
		{"malformed escape", "", []string{"bearer.%4"}, "", ErrUnauthorized.Error()},
		{"unknown token in the header, a good one beside it", "Bearer nobody", []string{"bearer.alice"}, "bearer.alice", invalidToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, code, reason, echoed := upgrade(t, h, c.header, c.protocols...)
			if code != 1008 || reason != c.reason || echoed != c.echoed {
				t.Errorf("close code %d, reason %q, echoed %q", code, reason, echoed)
			}
		})
	}
	if n := h.ClientCount(); n != 0 {
		t.Errorf("%d clients", n)
	}
	if s := h.Stats(); s.Auth["rejected"] != 5 || s.Relayed != 0 {
		t.Errorf("counted %v, relayed %d", s.Auth, s.Relayed)
	}
}

func refusedWith(t *testing.T, h *Hub, o *websocket.DialOptions, query string) int {
	t.Helper()
	_, resp, err := dialWith(t, h, query, o)
	if err == nil || resp == nil {
		t.Fatalf("not refused by a status: %v", err)
	}
	return resp.StatusCode
}

// docs/protocol.md section 1: -reject=http answers before the upgrade.
func TestRejectedByStatus(t *testing.T) {
	h := start(t, func(o *Options) { o.Reject = RejectHTTP })
	for _, token := range []string{"", "Bearer nobody"} {
		o := &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {token}}}
		if got := refusedWith(t, h, o, ""); got != http.StatusUnauthorized {
			t.Errorf("%q: status %d", token, got)
		}
	}
	connect(t, h, "alice")
}

// docs/protocol.md section 3: a question about identity that can't be answered is "try again later".
func TestLookupFails(t *testing.T) {
	failing := AuthenticatorFunc(func(context.Context, string) (*Identity, error) { return nil, errors.New("database is down") })
	quiet := slog.New(slog.DiscardHandler)
	h := start(t, func(o *Options) { o.Auth, o.Logger = failing, quiet })
	if _, code, _, _ := upgrade(t, h, "Bearer alice"); code != 1013 {
		t.Errorf("close code %d", code)
	}
	h = start(t, func(o *Options) { o.Auth, o.Logger, o.Reject = failing, quiet, RejectHTTP })
	if got := refusedWith(t, h, &websocket.DialOptions{}, ""); got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
	if got := h.Stats().Auth["failed"]; got != 1 {
		t.Errorf("%d failures counted", got)
	}
}

// docs/protocol.md section 7, -origins: a page of another host is refused before its token is looked at. The log says what
// would allow it, and strangers can't fill it.
func TestOriginRefused(t *testing.T) {
	var logged wstest.Text
	h := start(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
	o := &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer alice"}, "Origin": {"https://evil.example"}}}
	for range 3 {
		if got := refusedWith(t, h, o, ""); got != http.StatusForbidden {
			t.Errorf("status %d", got)
		}
	}
	if text := logged.String(); !strings.Contains(text, "-origins https://evil.example") {
		t.Errorf("the log has %q", text)
	}
	o.HTTPHeader.Set("Origin", "http://"+h.Addr().String())
	if _, _, err := dialWith(t, h, "", o); err != nil {
		t.Errorf("a page of the same host: %v", err)
	}
}

// docs/protocol.md section 1: what isn't a sequence number is no cursor.
func TestMalformedSince(t *testing.T) {
	h := start(t, nil)
	for _, query := range []string{"?since=x", "?since=-1", "?since=", "?since=18446744073709551616", "?a=b&since=1.5", "?since=2999;limit=1", "?since=2999%25", "?since=1&since=2"} {
		o := &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer alice"}}}
		if got := refusedWith(t, h, o, query); got != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, got)
		}
	}
}
