package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/hub/internal/trouble"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// docs/protocol.md section 1: who gave a token that is no good is told so, and the operator why: by a counter
// and a line, for connections and for the API's callers alike, without the token.
func TestRefusalsSayWhy(t *testing.T) {
	const none, invalid = "unauthorized: bearer token required", "unauthorized: token invalid or expired"
	refuse := AuthenticatorFunc(func(_ context.Context, token string) (*Identity, error) {
		switch token {
		case "":
			return nil, ErrUnauthorized
		case "ended":
			return &Identity{UserID: "alice", Expires: time.Now().Add(-time.Second)}, nil
		case "strange":
			return nil, &Refusal{Cause: "of its own"}
		}
		return nil, fmt.Errorf("wrapped: %w", &Refusal{Cause: CauseIssuer, UserID: strings.Repeat("u", 100), Detail: "mallory"})
	})
	for _, c := range []struct {
		token, reason, cause string
		says                 []string
	}{
		{"", none, "no_token", []string{"no token"}},
		{"ended", invalid, "expired", []string{"expired", "user_id=alice"}},
		{"strange", invalid, "other", nil},
		{"t0ken", invalid, "issuer", []string{"issuer", "detail=mallory", "user_id=" + strings.Repeat("u", trouble.MaxName) + " "}},
	} {
		for _, reject := range []Rejection{RejectClose, RejectHTTP} {
			var logged wstest.Text
			h := start(t, func(o *Options) {
				o.Auth, o.Reject, o.Logger = refuse, reject, slog.New(slog.NewTextHandler(&logged, nil))
			})
			authorization := ""
			if c.token != "" {
				authorization = "Bearer " + c.token
			}
			if reject == RejectClose {
				if _, code, reason, _ := upgrade(t, h, authorization); code != 1008 || reason != c.reason {
					t.Errorf("%q: %d %q", c.token, code, reason)
				}
			} else {
				o := &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {authorization}}}
				_, resp, err := dialWith(t, h, "", o)
				if err == nil || resp == nil {
					t.Fatalf("not refused by a status: %v", err)
				}
				if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 401 || strings.TrimSpace(string(body)) != c.reason {
					t.Errorf("%q: status %d %q", c.token, resp.StatusCode, body)
				}
			}
			if _, err := h.Authenticate(within(t), c.token, netip.Addr{}); !errors.Is(err, ErrUnauthorized) {
				t.Errorf("%q: %v", c.token, err)
			}
			refused := h.Stats().AuthRefused
			if refused[c.cause] != 2 || len(refused) != len(causes) {
				t.Errorf("%q: counted %v", c.token, refused)
			}
			text := logged.String()
			for _, word := range append(c.says, "cause="+c.cause) {
				if !strings.Contains(text, word) {
					t.Errorf("%q: %q isn't in\n%s", c.token, word, text)
				}
			}
			if c.token == "t0ken" && strings.Contains(text, c.token) {
				t.Errorf("the token is in the log:\n%s", text)
			}
		}
	}
}

// However often it is refused, and for whatever it gives as its cause, the log and the labels
// stay bounded.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	var logged wstest.Text
	now := time.Unix(1_000_000, 0)
	h := &Hub{opts: Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, refused: newRefused()}
	for i := range 1000 {
		h.noteRefused(now, "x", &Refusal{Cause: CauseExpired, UserID: fmt.Sprint("u", i)})
		h.noteRefused(now, "x", &Refusal{Cause: Cause(fmt.Sprint("c", i))})
	}
	h.noteRefused(now.Add(trouble.Interval), "x", &Refusal{Cause: CauseExpired})
	text := logged.String()
	if strings.Count(text, "\n") != 3 || !strings.Contains(text, "left_out=999") {
		t.Errorf("logged\n%s", text)
	}
	if n := h.authRefused(); n["expired"] != 1001 || n["other"] != 1000 || len(n) != len(causes) {
		t.Errorf("counted %v", n)
	}
}

// docs/protocol.md section 1: nobody but an admin has the name that an admin's messages are stamped with,
// whatever vouches for it. It is that word exactly, because clients compare it so.
func TestUserIDsOfAdmins(t *testing.T) {
	const reserved = "unauthorized: the user id is reserved for admins"
	ids := map[string]*Identity{
		"reserved": {UserID: "admin"}, "tenant's": {UserID: "admin", Tenant: "acme"}, "nobody": {}, "tenant's nobody": {Tenant: "acme"},
		"root": {Admin: true}, "named": {UserID: "admin", Admin: true},
		"capital": {UserID: "Admin"}, "spaced": {UserID: " admin"}, "longer": {UserID: "admin2"},
	}
	known := knownIdentities(ids)
	for name, c := range map[string]struct{ refused, cause string }{
		"reserved": {reserved, "user_id"}, "tenant's": {reserved, "user_id"},
		"nobody": {invalidToken, "user_id"}, "tenant's nobody": {invalidToken, "user_id"},
		"root": {}, "named": {}, "capital": {}, "spaced": {}, "longer": {},
	} {
		for way, auth := range map[string]Authenticator{
			"cached": known,
			"looked up": AuthenticatorFunc(func(_ context.Context, token string) (*Identity, error) {
				id, _ := known.Cached(token)
				return id, nil
			}),
		} {
			h := start(t, func(o *Options) { o.Auth, o.Logger = auth, slog.New(slog.DiscardHandler) })
			_, err := h.Authenticate(within(t), name, netip.Addr{})
			if refused := errors.Is(err, ErrUnauthorized); refused != (c.refused != "") {
				t.Errorf("%s, %s: %v", name, way, err)
			}
			if c.refused == "" {
				connect(t, h, name)
				continue
			}
			if _, code, reason, _ := upgrade(t, h, "Bearer "+name); code != 1008 || reason != c.refused {
				t.Errorf("%s, %s: %d %q", name, way, code, reason)
			}
			if n := h.Stats().AuthRefused[c.cause]; n != 2 {
				t.Errorf("%s, %s: %v", name, way, h.Stats().AuthRefused)
			}
		}
	}
}

// knownIdentities is an Authenticator that has them in memory, by token.
type knownIdentities map[string]*Identity

func (k knownIdentities) Cached(token string) (*Identity, bool) { return k[token], true }

func (k knownIdentities) Authenticate(context.Context, string) (*Identity, error) {
	return nil, errors.New("not asked")
}
