package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5: a body that can't be understood is an error that says where.
func TestDecodeChangeSaysWhere(t *testing.T) {
	tests := []struct {
		name, body, code, field string
		offset                  int64 // -1: none
	}{
		{"misspelled key", `{"entity":"Todo","rowid":"1"}`, "INVALID_FIELD", "rowid", 17},
		{"misspelled nested key", `{"audience":{"user":["u"]}}`, "INVALID_FIELD", "audience.user", 13},
		{"key in capitals", `{"ENTITY":"Todo"}`, "INVALID_FIELD", "ENTITY", 1},
		{"key twice", `{"entity":"Todo","entity":"Todo"}`, "INVALID_FIELD", "entity", 17},
		{"wrong type", `{"entity":7}`, "INVALID_FIELD", "entity", 10},
		{"wrong nested type", `{"audience":{"users":"u"}}`, "INVALID_FIELD", "audience.users", 21},
		{"not an object", `[1]`, "INVALID_JSON", "", 0},
		{"empty", ``, "INVALID_JSON", "", 0},
		{"cut off", `{"entity":`, "INVALID_JSON", "", 10},
		{"syntax", `{"entity" "Todo"}`, "INVALID_JSON", "", 10},
		{"two values", `{} {}`, "INVALID_JSON", "", 3},
		{"rubbish behind", `{}x`, "INVALID_JSON", "", 2},
		{"invalid UTF-8 in data", "{\"data\":\"ab\xff\"}", "INVALID_JSON", "", 11},
		{"truncated UTF-8", "{\"data\":\"\xe2\x82", "INVALID_JSON", "", 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := hub.DecodeChange([]byte(tt.body))
			if err == nil {
				t.Fatal("it was taken")
			}
			f := failureOf(err)
			if f.status != 400 || f.Code != tt.code || f.Field != tt.field {
				t.Errorf("got %d %s field %q (%s), want 400 %s field %q", f.status, f.Code, f.Field, f.Message, tt.code, tt.field)
			}
			offset := int64(-1)
			if f.Offset != nil {
				offset = *f.Offset
			}
			if offset != tt.offset {
				t.Errorf("offset %d, want %d", offset, tt.offset)
			}
		})
	}
}

func TestDecodeChangeTakesWhitespaceAround(t *testing.T) {
	if c, err := hub.DecodeChange([]byte(" {\"entity\":\"Todo\"} \r\n")); err != nil || c.Entity != "Todo" {
		t.Errorf("got %+v, %v", c, err)
	}
}

// framings are bodies with the header that comes before them.
var framings = []struct {
	bytes string
	empty bool
}{
	{"Content-Length: 14\r\n\r\n{\"tenant\":\"t\"}", false},
	{"Transfer-Encoding: chunked\r\n\r\ne\r\n{\"tenant\":\"t\"}\r\n0\r\n\r\n", false},
	{"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
	{"Content-Length: 0\r\n\r\n", true},
}

// isUnexpected sends each of the framings on one connection, which has to stay open, and tells which are refused.
func isUnexpected(t *testing.T, addr, method, target string) (refused [4]bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	answers := bufio.NewReader(conn)
	for i, body := range framings {
		_, _ = io.WriteString(conn, method+" "+target+" HTTP/1.1\r\n"+asAdmin+body.bytes)
		answer, err := http.ReadResponse(answers, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%s %s with %q: %v", method, target, body.bytes, err)
		}
		text, _ := io.ReadAll(answer.Body)
		if answer.Close {
			t.Errorf("%s %s with %q: %s closes the connection", method, target, body.bytes, answer.Status)
		}
		refused[i] = answer.StatusCode == 400 && (method == http.MethodHead || strings.Contains(string(text), `"code":"UNEXPECTED_BODY"`))
	}
	return refused
}

// docs/protocol.md section 5: a body that a call doesn't take is an error before anything is done, and an empty one is
// none.
func TestCallsThatTakeNoBody(t *testing.T) {
	reloads := 0
	s := start(t, func(h *hub.Options, o *Options) {
		everything(h, o)
		o.Reload = func() (Reloaded, error) { reloads++; return Reloaded{}, nil }
	})
	addr := s.listening(ServerOptions{})
	none := 0
	for _, call := range describedCalls(t) {
		target, want := call.target, [4]bool{}
		if target == "/v1/why" { // which is 400 without
			target += "?client=1&seq=1"
		}
		if !call.body {
			want = [4]bool{true, true}
			none++
		}
		if got := isUnexpected(t, addr, call.method, target); got != want {
			t.Errorf("%s %s: refused %v, want %v", call.method, target, got, want)
		}
		if call.method == http.MethodGet {
			if got := isUnexpected(t, addr, http.MethodHead, target); got != want {
				t.Errorf("HEAD %s: refused %v, want %v", target, got, want)
			}
		}
	}
	if none < 20 || reloads != 2 {
		t.Errorf("%d calls take no body; %d reloads, of 2 without", none, reloads)
	}
	alice := s.connect(s.session("alice", "acme"))
	s.wantError(s.admin("DELETE", "/v1/users/alice/clients", `{"tenant":"t"}`), 400, "UNEXPECTED_BODY")
	s.want(s.admin("POST", "/v1/presence", `{"type":"presence"}`), 204, nil)
	if got := alice.Text(); got != `{"type":"presence"}` {
		t.Errorf("got %s", got)
	}
}

// notedConn knows its read deadline. It belongs to the request that is served.
type notedConn struct {
	*net.TCPConn
	until time.Time
}

func (c *notedConn) SetReadDeadline(until time.Time) error {
	c.until = until
	return c.TCPConn.SetReadDeadline(until)
}

type notedListener struct{ net.Listener }

func (l notedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &notedConn{TCPConn: conn.(*net.TCPConn)}, nil
}

// Until when a body has to be there isn't how long the call may take: net/http would have the caller gone by then.
func TestCallsMayTakeLongerThanABody(t *testing.T) {
	var until time.Time
	s := start(t, func(h *hub.Options, o *Options) {
		everything(h, o)
		o.Profiles = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { until = connOf(r).Conn.(*notedConn).until })
	})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := LimitListener(notedListener{inner}, 10)
	serveOn(t, l, s.Handler, ServerOptions{})
	for _, body := range framings {
		if !body.empty {
			continue
		}
		answer, text := exchange(t, l.Addr().String(), "GET", "GET /debug/pprof/ HTTP/1.1\r\n"+asAdmin+body.bytes)
		if answer.StatusCode != 200 || !until.IsZero() {
			t.Errorf("%q: %s %s, and a deadline in %v", body.bytes, answer.Status, text, time.Until(until))
		}
	}
}
