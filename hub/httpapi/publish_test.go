package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5: POST /v1/changes assigns the seq; docs/protocol.md section 3: every client gets the event.
func TestPostChange(t *testing.T) {
	s := start(t, nil)
	c := s.connect(s.session("u", ""))
	var answer struct{ Seq uint64 }
	s.want(s.admin("POST", "/v1/changes", `{"entity":"Todo","row_id":"1","kind":"update","data":{"a":"<é>"},"timestamp":"5Z"}`), 200, &answer)
	if answer.Seq != 1 {
		t.Errorf("seq %d, want 1", answer.Seq)
	}
	c.Expect(websocket.MessageText, `{"seq":1,"entity":"Todo","row_id":"1","kind":"update","data":{"a":"<é>"},"timestamp":"5Z"}`)

	const once = `{"entity":"Todo","row_id":"2","kind":"delete","op_id":"once","timestamp":"6Z"}`
	for range 2 {
		s.want(s.admin("POST", "/v1/changes", once, "Content-Type", "application/json; charset=utf-8"), 200, &answer)
		if answer.Seq != 2 {
			t.Errorf("a repeated op_id has seq %d, want the first one, 2", answer.Seq)
		}
	}
	c.Expect(websocket.MessageText, `{"seq":2,"entity":"Todo","row_id":"2","kind":"delete","timestamp":"6Z"}`)
}

// docs/protocol.md section 5: an audience is everyone, users, a tenant or a topic.
func TestPostChangeToAnAudience(t *testing.T) {
	s := start(t, nil)
	u, v := s.connect(s.session("u", "acme")), s.connect(s.session("v", ""))
	for _, body := range []string{
		`{"entity":"T","row_id":"1","kind":"delete","timestamp":"1Z","audience":{"users":["v"]}}`,
		`{"entity":"T","row_id":"2","kind":"delete","timestamp":"1Z","audience":{"tenant":"acme"}}`,
		`{"entity":"T","row_id":"3","kind":"delete","timestamp":"1Z"}`,
	} {
		s.want(s.admin("POST", "/v1/changes", body), 200, nil)
	}
	v.Expect(websocket.MessageText, `{"seq":1,"entity":"T","row_id":"1","kind":"delete","timestamp":"1Z"}`)
	u.Expect(websocket.MessageText, `{"seq":2,"entity":"T","row_id":"2","kind":"delete","timestamp":"1Z"}`)
	for _, c := range []*client{u, v} {
		c.Expect(websocket.MessageText, `{"seq":3,"entity":"T","row_id":"3","kind":"delete","timestamp":"1Z"}`)
	}
}

// docs/protocol.md section 5: presence and topics reach the tenant that their publisher names, or everyone.
func TestPublishToATenant(t *testing.T) {
	s := start(t, nil)
	u, v := s.connect(s.session("u", "acme & co")), s.connect(s.session("v", ""))
	const acme = "?tenant=acme%20%26+co"
	s.want(s.admin("POST", "/v1/presence"+acme, `{"n":1}`), 204, nil)
	s.want(s.admin("POST", "/v1/topics/t"+acme, `2`), 204, nil)
	s.want(s.admin("POST", "/v1/presence?tenant=other", `{"n":3}`), 204, nil)
	s.want(s.admin("POST", "/v1/presence", `{"n":4}`), 204, nil)
	for _, want := range []string{`{"n":1}`, `{"type":"topic","topic":"t","data":2}`, `{"n":4}`} {
		u.Expect(websocket.MessageText, want)
	}
	v.Expect(websocket.MessageText, `{"n":4}`)
	for _, call := range []string{"/v1/presence", "/v1/topics/t"} {
		for query, field := range map[string]string{
			"?tenant=": "tenant", "?tenant": "tenant", "?tenant=a&tenant=b": "tenant", "?tenant=%ff": "tenant", "?tenant=%zz": "query",
			"?tenant=a;b": "query", "?Tenant=a": "query", "?update=1": "query",
		} {
			if e := s.wantError(s.admin("POST", call+query, `{"n":5}`), 400, "INVALID_FIELD"); e.Field != field {
				t.Errorf("%s%s: field %q, want %q", call, query, e.Field, field)
			}
		}
	}
}

// docs/protocol.md section 5: bad changes are 400s that name the field.
func TestPostChangeRefusesBadOnes(t *testing.T) {
	s := start(t, nil)
	for body, field := range map[string]string{
		`{"row_id":"1","kind":"update"}`:                                                         "entity",
		`{"entity":"T","kind":"update"}`:                                                         "row_id",
		`{"entity":"T","row_id":"1","kind":"upsert"}`:                                            "kind",
		`{"entity":"T","row_id":"1","kind":"update","extra":1}`:                                  "extra",
		`{"entity":"T","row_id":"1","kind":"update","op_id":"` + strings.Repeat("x", 257) + `"}`: "op_id",
		`{"entity":"T","row_id":"1","kind":"update","audience":{"users":[]}}`:                    "audience.users",
	} {
		e := s.wantError(s.admin("POST", "/v1/changes", body), 400, "INVALID_FIELD")
		if e.Field != field {
			t.Errorf("%.80s: field %q, want %q", body, e.Field, field)
		}
	}
	if seq := s.hub.Stats().LastSeq; seq != 0 {
		t.Errorf("something was published: seq %d", seq)
	}
}

// docs/protocol.md section 5: application/x-ndjson is one change per line, answered with first and last seq.
func TestPostBatch(t *testing.T) {
	s := start(t, nil)
	c := s.connect(s.session("u", ""))
	ndjson := []string{"Content-Type", "application/x-ndjson"}
	line := func(row string) string {
		return `{"entity":"T","row_id":"` + row + `","kind":"delete","op_id":"` + row + `","timestamp":"1Z"}` + "\n"
	}
	var answer published
	s.want(s.admin("POST", "/v1/changes", line("a")+line("b")+line("c"), ndjson...), 200, &answer)
	if want := (published{FirstSeq: 1, LastSeq: 3, Count: 3}); answer != want {
		t.Errorf("got %+v, want %+v", answer, want)
	}
	for i, row := range []string{"a", "b", "c"} {
		c.Expect(websocket.MessageText, `{"seq":`+string(rune('1'+i))+`,"entity":"T","row_id":"`+row+`","kind":"delete","timestamp":"1Z"}`)
	}

	s.want(s.admin("POST", "/v1/changes", line("d")+line("b"), ndjson...), 200, &answer)
	if want := (published{FirstSeq: 2, LastSeq: 4, Count: 2}); answer != want {
		t.Errorf("with a repeated op_id: got %+v, want %+v", answer, want)
	}

	e := s.wantError(s.admin("POST", "/v1/changes", line("e")+"\n"+`{"entity":"T","row_id":"f","kind":"none"}`, ndjson...), 400, "INVALID_FIELD")
	if e.Line != 3 || e.Field != "kind" || e.Applied == nil || *e.Applied != 0 {
		t.Errorf("got %+v, want kind in line 3 with nothing applied", e)
	}
	if seq := s.hub.Stats().LastSeq; seq != 4 {
		t.Errorf("a batch with a bad line left something behind: seq %d, want 4", seq)
	}
}

// A body with many more changes than a loop's queue takes at once loses none of them.
func TestPostBatchWaitsForRoom(t *testing.T) {
	s := start(t, func(ho *hub.Options, _ *Options) { ho.Loops.Memory.QueueMessages = 3 })
	c := s.connect(s.session("u", ""))
	const changes = 500
	var body strings.Builder
	for i := range changes {
		fmt.Fprintf(&body, `{"entity":"T","row_id":"%d","kind":"delete","timestamp":"1Z"}`+"\n", i)
	}
	var answer published
	s.want(s.admin("POST", "/v1/changes", body.String(), "Content-Type", "application/x-ndjson"), 200, &answer)
	if want := (published{FirstSeq: 1, LastSeq: changes, Count: changes}); answer != want {
		t.Errorf("got %+v, want %+v", answer, want)
	}
	for i := range changes {
		c.Expect(websocket.MessageText, fmt.Sprintf(`{"seq":%d,"entity":"T","row_id":"%d","kind":"delete","timestamp":"1Z"}`, i+1, i))
	}
}

// docs/protocol.md section 5: bodies are bounded, and have the type that the call takes.
func TestBodies(t *testing.T) {
	s := start(t, func(ho *hub.Options, o *Options) { ho.MaxMessageOut, o.MaxBody = 1000, 2000 })
	long, longer := strings.Repeat("x", 1500), strings.Repeat("x", 2001)
	tests := []struct {
		method, target, body string
		headers              []string
		status               int
		code                 string
	}{
		{"POST", "/v1/changes", `{}`, []string{"Content-Type", "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"POST", "/v1/changes", `{}`, []string{"Content-Type", "a;b;c"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"POST", "/v1/changes", `{}`, []string{"Content-Encoding", "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"POST", "/v1/presence", `{}`, []string{"Content-Type", "application/x-ndjson"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"POST", "/v1/topics/x", `{}`, []string{"Content-Type", "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"POST", "/v1/sessions", `{}`, []string{"Content-Type", "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"},

		{"POST", "/v1/changes", longer, nil, 413, "TOO_LARGE"},
		{"POST", "/v1/changes", `{"entity":"T","row_id":"1","kind":"update","data":"` + long + `"}`, nil, 413, "TOO_LARGE"},
		{"POST", "/v1/presence", `{"a":"` + long + `"}`, nil, 413, "TOO_LARGE"},
		{"POST", "/v1/topics/x", `"` + long + `"`, nil, 413, "TOO_LARGE"},
		{"PUT", "/v1/rows/a/b", longer, nil, 413, "TOO_LARGE"},
		{"PUT", "/v1/rows/a/b", long, nil, 413, "TOO_LARGE"},
		{"POST", "/v1/broadcast", longer, nil, 413, "TOO_LARGE"},
		{"POST", "/v1/broadcast", long, nil, 413, "TOO_LARGE"},

		{"POST", "/v1/changes", `{"entity":`, nil, 400, "INVALID_JSON"},
		{"POST", "/v1/presence", ``, nil, 400, "INVALID_JSON"},
		{"POST", "/v1/presence", ` [1]`, nil, 400, "INVALID_JSON"},
		{"POST", "/v1/presence", "{\"a\":\"\xff\"}", nil, 400, "INVALID_JSON"},
		{"POST", "/v1/presence", `null`, nil, 400, "INVALID_JSON"},
		{"POST", "/v1/presence", `{"type":"presence","type":"topic"}`, nil, 400, "INVALID_FIELD"},
		{"POST", "/v1/topics/x", `{} {}`, nil, 400, "INVALID_JSON"},
		{"POST", "/v1/topics/x", `[{"a":1,"\u0061":2}]`, nil, 400, "INVALID_FIELD"},
		{"POST", "/v1/topics/%FF", `{}`, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/%FF/b", ``, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/a/b?update=yes", ``, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/a/b?update=", ``, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/a/b?update", ``, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/a/b?Tenant=acme", ``, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/a/b?tenant=", ``, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/a/b?tenant", ``, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/a/b?tenant=%zz", ``, nil, 400, "INVALID_FIELD"},
		{"PUT", "/v1/rows/a/b?tenant=a;b", ``, nil, 400, "INVALID_FIELD"},
	}
	for _, tt := range tests {
		w := s.admin(tt.method, tt.target, tt.body, tt.headers...)
		if e := errorOf(t, w); w.Code != tt.status || e.Code != tt.code {
			t.Errorf("%s %s %.60s: got %d %s, want %d %s", tt.method, tt.target, tt.body, w.Code, e.Code, tt.status, tt.code)
		}
		bound := "at most 1000 bytes"
		if tt.body == longer {
			bound = "at most 2000 bytes"
		}
		if e := errorOf(t, w); e.Code == "TOO_LARGE" && !strings.Contains(e.Message, bound) {
			t.Errorf("%s %s: %q doesn't say the bound, %s", tt.method, tt.target, e.Message, bound)
		}
	}
}

// docs/protocol.md section 5: POST /v1/presence, /v1/topics/{topic} and /v1/broadcast reach every client.
func TestPostToEveryone(t *testing.T) {
	s := start(t, nil)
	c := s.connect(s.session("u", ""))
	s.want(s.admin("POST", "/v1/presence", " {\"type\":\"presence\", \"n\":1}\n"), 204, nil)
	c.Expect(websocket.MessageText, `{"type":"presence", "n":1}`)
	s.want(s.admin("POST", "/v1/topics/news%2Fat%20%22home%22", `[1]`), 204, nil)
	c.Expect(websocket.MessageText, `{"type":"topic","topic":"news/at \"home\"","data":[1]}`)
	s.want(s.admin("POST", "/v1/broadcast", "\x00\xff", "Content-Type", "application/octet-stream"), 204, nil)
	c.Expect(websocket.MessageBinary, "\x00\xff")
}

// docs/protocol.md section 5: PUT /v1/rows is the row's snapshot, 0x10, or with ?update=1 a 0x11 that isn't stored.
func TestPutRow(t *testing.T) {
	s := start(t, nil)
	const target, header = "/v1/rows/To%2Fdo/r%C3%A9", "\x00\x05To/do\x00\x03ré"
	const subscribe = `{"type":"crdt-subscribe","entity":"To/do","rowId":"ré"}`
	s.want(s.admin("PUT", target, "one"), 204, nil)

	first := s.connect(s.session("u", ""))
	first.Send(subscribe)
	first.Expect(websocket.MessageBinary, "\x10"+header+"one")
	s.want(s.admin("PUT", target+"?update=1", "two"), 204, nil)
	first.Expect(websocket.MessageBinary, "\x11"+header+"two")
	second := s.connect(s.session("v", ""))
	second.Send(subscribe)
	second.Expect(websocket.MessageBinary, "\x10"+header+"one")
	s.want(s.admin("PUT", target+"?update=0", "three"), 204, nil)
	for _, c := range []*client{first, second} {
		c.Expect(websocket.MessageBinary, "\x10"+header+"three")
	}
}

// docs/protocol.md section 2: a row that the caller may not read can't be told from none. ?tenant says whose a row is.
func TestPutRowOfATenant(t *testing.T) {
	s := start(t, nil)
	s.want(s.admin("PUT", "/v1/rows/T/1?tenant=acme", "theirs"), 204, nil)
	mine, foreign := s.connect(s.session("u", "acme")), s.connect(s.session("v", "other"))
	for _, c := range []*client{mine, foreign} {
		c.Send(`{"type":"crdt-subscribe","entity":"T","rowId":"1"}`)
	}
	mine.Expect(websocket.MessageBinary, "\x10\x00\x01T\x00\x011theirs")
	s.want(s.admin("POST", "/v1/broadcast", "end"), 204, nil)
	foreign.Expect(websocket.MessageBinary, "end")
}

// docs/protocol.md section 3: an entity or row id over 65,535 bytes is an error to the publisher.
func TestPutRowWithALongName(t *testing.T) {
	s := start(t, nil)
	w := s.admin("PUT", "/v1/rows/T/"+strings.Repeat("r", 65536), "")
	e := errorOf(t, w)
	if w.Code != 400 && w.Code != 413 {
		t.Errorf("got %d %+v, want 400 or 413", w.Code, e)
	}
	s.want(s.admin("PUT", "/v1/rows/T/"+strings.Repeat("r", 65535), ""), 204, nil)
}
