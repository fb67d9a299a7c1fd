package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// listening serves the API as the daemon does, on a port, with its timeouts made short.
func (s *server) listening(o ServerOptions) (addr string) {
	s.Helper()
	return serve(s.T, s.Handler, o).Addr().String()
}

// talk sends raw bytes and returns what comes until the server ends the connection.
func talk(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, text)
	answer, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is still open after %q", answer)
	}
	return string(answer)
}

const asAdmin = "Host: x\r\nAuthorization: Bearer " + adminToken + "\r\n"

// A publisher that is slow with its body, one that says nothing between two requests and one
// that never sends its header's end are let go of.
func TestSlowCallersAreLetGoOf(t *testing.T) {
	short := 2 * time.Second // and yet longer than the server takes to read what does come
	for name, test := range map[string]struct {
		o    ServerOptions
		text string
		want string
	}{
		"body":            {ServerOptions{StallTimeout: short}, "POST /v1/changes HTTP/1.1\r\n" + asAdmin + "Content-Length: 100\r\n\r\n{", "BODY_INCOMPLETE"},
		"chunks":          {ServerOptions{StallTimeout: short}, "POST /v1/broadcast HTTP/1.1\r\n" + asAdmin + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "BODY_INCOMPLETE"},
		"body of nobody":  {ServerOptions{}, "POST /v1/changes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "UNAUTHORIZED"},
		"empty chunks":    {ServerOptions{}, "POST /v1/reload HTTP/1.1\r\n" + asAdmin + "Transfer-Encoding: chunked\r\n\r\n", "BODY_INCOMPLETE"},
		"between two":     {ServerOptions{IdleTimeout: short}, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", `{"status":"ok"}`},
		"header":          {ServerOptions{ReadHeaderTimeout: short}, "GET /healthz HTTP/1.1\r\nHost: x\r\n", ""},
		"nothing at all":  {ServerOptions{ReadHeaderTimeout: short}, "", ""},
		"second's header": {ServerOptions{ReadHeaderTimeout: short}, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /h", `{"status":"ok"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, everything)
			if got := talk(t, s.listening(test.o), test.text); !strings.Contains(got, test.want) || test.want == "" && strings.Contains(got, "200 OK") {
				t.Errorf("answered %q, want %q", got, test.want)
			}
		})
	}
}

// Callers who never read their answers are cut off, whatever they ask for.
func TestCallersWhoNeverRead(t *testing.T) {
	s := start(t, func(_ *hub.Options, o *Options) {
		o.Demo = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100<<10)) })
	})
	s.publishLarge(8, 900<<10)
	addr := s.listening(ServerOptions{StallTimeout: 200 * time.Millisecond})
	for _, target := range []string{"/api/sync/pull?since=0", "/v1/clients", "/v1/stats", "/metrics", "/demo", "/healthz", "/nothing"} {
		t.Run(target, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.(*net.TCPConn).SetReadBuffer(4096)
			_ = conn.SetDeadline(time.Now().Add(patience))
			requests := strings.Repeat("GET "+target+" HTTP/1.1\r\n"+asAdmin+"\r\n", 100)
			for err == nil { // however short an answer is, so many fit no socket
				_, err = io.WriteString(conn, requests)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("still open: %v", err)
			}
		})
	}
}

func (s *server) publishLarge(n, size int) {
	s.Helper()
	for i := range n {
		data := fmt.Appendf(nil, "%q", strings.Repeat("x", size))
		if _, err := s.hub.PublishChange(hub.Change{Entity: "T", RowID: fmt.Sprint(i), Kind: hub.Insert, Data: data}); err != nil {
			s.Fatal(err)
		}
	}
}

// A page of large events ends after about a megabyte, and says that there is more.
func TestPagesAreBoundedInBytes(t *testing.T) {
	s := start(t, nil)
	s.publishLarge(5, 400<<10)
	var seen, pages int
	for more, since := true, uint64(0); more; pages++ {
		w := s.admin("GET", fmt.Sprintf("/api/sync/pull?since=%d&limit=1000", since), "")
		if n := w.Body.Len(); n > 1<<20+1000 {
			t.Errorf("a page of %d bytes", n)
		}
		var p pulled
		s.want(w, 200, &p)
		seen, since, more = seen+len(p.Changes), p.Cursor.LastSeq, *p.HasMore
	}
	if seen != 5 || pages != 3 {
		t.Errorf("%d events in %d pages, want 5 in 3", seen, pages)
	}
}

// JSON that is nested deeper than encoding/json goes is an error, not a stack.
func TestDeepJSON(t *testing.T) {
	s := start(t, nil)
	deep := strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000)
	line := `{"entity":"T","row_id":"1","kind":"insert","data":` + deep + `}`
	for _, call := range []struct{ path, body, contentType string }{
		{"/v1/changes", line, typeJSON}, {"/v1/changes", line, typeNDJSON}, {"/v1/topics/x", deep, typeJSON},
		{"/v1/presence", `{"x":` + deep + `}`, typeJSON}, {"/v1/sessions", `{"user_id":` + deep + `}`, typeJSON},
	} {
		s.wantError(s.admin("POST", call.path, call.body, "Content-Type", call.contentType), 400, "INVALID_JSON")
	}
}

// A line of an NDJSON body may be as long as a message, and no longer.
func TestLongLines(t *testing.T) {
	s := start(t, func(ho *hub.Options, o *Options) { ho.MaxMessageOut, o.MaxBody = 10_000, 30_000 })
	line := func(n int) string {
		return fmt.Sprintf(`{"entity":"T","row_id":"1","kind":"insert","data":%q}`+"\n", strings.Repeat("x", n))
	}
	ndjson := []string{"Content-Type", typeNDJSON}
	s.want(s.admin("POST", "/v1/changes", line(9_000)+line(9_000), ndjson...), 200, nil)
	if e := s.wantError(s.admin("POST", "/v1/changes", line(9_000)+line(11_000), ndjson...), 413, "TOO_LARGE"); e.Line != 2 {
		t.Errorf("line %d", e.Line)
	}
	s.wantError(s.admin("POST", "/v1/changes", line(40_000), ndjson...), 413, "TOO_LARGE")
}

// Bounds of pages hold whatever is asked for.
func TestPaginationBounds(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{
		"/v1/clients?limit=-1", "/v1/clients?limit=1e9", "/v1/clients?after=-1", "/v1/clients?after=99999999999999999999",
		"/api/sync/pull?limit=-1", "/api/sync/pull?since=0x1",
	} {
		s.wantError(s.admin("GET", path, ""), 400, "INVALID_FIELD")
	}
	s.publish(1100)
	for _, limit := range []string{"1001", "18446744073709551615", "99999999999999999999"} {
		var p pulled
		s.want(s.admin("GET", "/api/sync/pull?since=0&limit="+limit, ""), 200, &p)
		if len(p.Changes) != 1000 {
			t.Errorf("limit %s: %d events", limit, len(p.Changes))
		}
		s.want(s.admin("GET", "/v1/clients?limit="+limit, ""), 200, nil)
	}
}
