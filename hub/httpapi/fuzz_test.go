package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

func batchSeeds(f *testing.F) {
	f.Helper()
	good := `{"entity":"Todo","row_id":"1","kind":"insert","data":{"a":[1,"\u00e9"]},"audience":{"users":["u"]}}`
	for _, seed := range []string{
		good, good + "\n" + good, "\n\n" + good + "\r\n  \n", good + good, `{"entity":"Todo"`, "{}", "", "[]", "null\n" + good,
		`{"entity":"","row_id":"1","kind":"insert"}`, `{"entity":"T","row_id":"1","kind":"drop"}`, `{"ENTITY":"T","Row_ID":"1","kind":"delete"}`,
		`{"entity":"T","row_id":"1","kind":"update","audience":{}}`, `{"entity":"T","row_id":"1","kind":"update","audience":{"users":[]}}`,
		`{"entity":"T","row_id":"1","kind":"update","audience":{"tenant":"","topic":"t"}}`, "{\"entity\":\"\xff\",\"row_id\":\"1\",\"kind\":\"insert\"}",
		`{"entity":"T","row_id":"1","kind":"update","data":1e999}`, `{"entity":"T","row_id":"1","kind":"update","op_id":"o","timestamp":"x","more":1}`,
		`{"entity":"T","row_id":"1","kind":"update","audience":{"users":["u"]},"AUDIENCE":null}`, `{"entity":"T","row_id":"1","kind":"update","audience":null}`,
		`{"entity":"T","entity":"U","row_id":"1","kind":"update"}`, `{"entity":"T","row_id":"1","kind":"update","audience":{"users":["\ud83d"]}}`,
		`{"entity":"T","row_id":"1","kind":"update","data":{"a":1,"\u0061":2}}`, `{"entity":"T","row_id":"1","kind":"update","data":"\ud83d"}`,
		`{"entity":"T","row_id":"1","kind":"update","data":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`,
	} {
		f.Add([]byte(seed))
	}
}

// What a body of changes is taken for is what encoding/json says of each of its lines, whose
// names are exact and stand once; an audience that is there names somebody.
func FuzzParseBatch(f *testing.F) {
	batchSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		batch, err := parseBatch(body, func(*hub.Change) error { return nil })
		if !bytes.Equal(body, sent) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			checkRefused(t, failureOf(err))
			return
		}
		lines := bytes.Split(body, []byte("\n"))
		for _, n := range batch {
			checkChange(t, lines[n.line-1], n.change)
			lines[n.line-1] = nil
		}
		for i, line := range lines {
			if len(bytes.TrimSpace(line)) > 0 {
				t.Fatalf("line %d was left out: %q", i+1, line)
			}
		}
	})
}

func checkRefused(t *testing.T, f *failure) {
	t.Helper()
	if f.status < 400 || f.status > 499 || f.Code == "" || f.Message == "" {
		t.Fatalf("refused with %d %q %q", f.status, f.Code, f.Message)
	}
}

func checkChange(t *testing.T, line []byte, c hub.Change) {
	t.Helper()
	var want struct {
		Entity    string          `json:"entity"`
		RowID     string          `json:"row_id"`
		Kind      string          `json:"kind"`
		Data      json.RawMessage `json:"data"`
		Timestamp string          `json:"timestamp"`
		OpID      string          `json:"op_id"`
		Audience  *hub.Audience   `json:"audience"`
	}
	if err := json.Unmarshal(line, &want); err != nil || !utf8.Valid(line) {
		t.Fatalf("%q was taken, and is no JSON: %v", line, err)
	}
	if c.Entity != want.Entity || c.RowID != want.RowID || string(c.Kind) != want.Kind || !bytes.Equal(c.Data, want.Data) ||
		c.Timestamp != want.Timestamp || c.OpID != want.OpID {
		t.Fatalf("%q became %+v", line, c)
	}
	var names map[string]json.RawMessage
	if err := json.Unmarshal(line, &names); err != nil {
		t.Fatal(err)
	}
	for name := range names {
		if !slices.Contains([]string{"entity", "row_id", "kind", "data", "timestamp", "op_id", "audience"}, name) {
			t.Fatalf("%q was taken, with %q in it", line, name)
		}
	}
	if n := topLevelNames(line); n != len(names) {
		t.Fatalf("%q was taken, and has %d names, %d of them different", line, n, len(names))
	}
	everyone := len(c.Audience.Users) == 0 && c.Audience.Tenant == "" && c.Audience.Topic == ""
	if everyone != (want.Audience == nil) {
		t.Fatalf("%q became %+v", line, c.Audience)
	}
}

// topLevelNames counts the names of a JSON object, repeated ones too.
func topLevelNames(object []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token()
	for ; d.More(); n++ {
		var value json.RawMessage
		_, _ = d.Token()
		if d.Decode(&value) != nil {
			return -1
		}
	}
	return n
}

// fuzzedAPI is an API with a hub and sessions behind it, for as long as the fuzzer runs.
func fuzzedAPI(f *testing.F) (http.Handler, *hub.Hub) {
	f.Helper()
	quiet := slog.New(slog.DiscardHandler)
	sessions, err := auth.OpenSessions(filepath.Join(f.TempDir(), "busbar.db"), auth.SessionOptions{Log: quiet})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { sessions.Close() })
	h, err := hub.New(hub.Options{
		Auth: hub.AuthenticatorFunc(func(_ context.Context, token string) (*hub.Identity, error) {
			switch token {
			case adminToken:
				return &hub.Identity{Admin: true}, nil
			case "user":
				return &hub.Identity{UserID: "u"}, nil
			}
			return nil, hub.ErrUnauthorized
		}),
		Loops: eventloop.Options{Listen: "127.0.0.1:0", Loops: 1}, Logger: quiet,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = h.Shutdown(ctx)
	})
	return New(h, Options{Sessions: sessions, Guests: true, MaxBody: 1 << 16, Logger: quiet}), h
}

// fuzzedCalls are those that read what a caller sends. %s stands for a part of the path.
var fuzzedCalls = []struct{ method, path string }{
	{"POST", "/v1/changes"}, {"POST", "/v1/presence"}, {"POST", "/v1/topics/%s"}, {"PUT", "/v1/rows/%s/r"}, {"PUT", "/v1/rows/E/%s"},
	{"POST", "/v1/broadcast"}, {"GET", "/api/sync/pull"}, {"POST", "/v1/sessions"}, {"DELETE", "/v1/sessions/%s"},
	{"GET", "/v1/clients"}, {"GET", "/v1/laggards"}, {"GET", "/v1/closes"}, {"GET", "/v1/losses"}, {"DELETE", "/v1/clients/%s"}, {"GET", "/api/auth/me"},
	{"DELETE", "/v1/rows/E/r/subscribers/%s"},
}

// Whatever a call is given, it answers with what it did or with what is wrong; never that the
// server is at fault. And without the token that it takes nothing happens.
func FuzzCalls(f *testing.F) {
	api, h := fuzzedAPI(f)
	f.Add(byte(0), "", "", []byte(`{"entity":"T","row_id":"1","kind":"insert"}`), byte(0))
	f.Add(byte(0), "", "", []byte("{\"entity\":\"T\",\"row_id\":\"1\",\"kind\":\"insert\"}\n{}"), byte(4))
	f.Add(byte(1), "", "", []byte(` {"type":"presence","a":1} `), byte(0))
	f.Add(byte(2), "a/b\x00%", "", []byte(`[1,2]`), byte(0))
	f.Add(byte(3), "\xff", "update=1&tenant=t", []byte("payload"), byte(0))
	f.Add(byte(4), strings.Repeat("r", 70000), "update=2", []byte{}, byte(0))
	f.Add(byte(6), "", "since=18446744073709551615&limit=0", []byte{}, byte(1))
	f.Add(byte(6), "", "since=-1&limit=1001", []byte{}, byte(0))
	f.Add(byte(7), "", "", []byte(`{"user_id":"u","ttl_seconds":9223372036854775807,"tenant_id":"t"}`), byte(0))
	f.Add(byte(7), "", "", []byte(`{"user_id":"u\u0000","ttl_seconds":-1}`), byte(0))
	f.Add(byte(8), "no such", "", []byte{}, byte(0))
	f.Add(byte(9), "", "after=x&limit=0", []byte{}, byte(0))
	f.Add(byte(10), "18446744073709551616", "", []byte{}, byte(0))
	f.Fuzz(func(t *testing.T, which byte, part, query string, body []byte, how byte) {
		call := fuzzedCalls[int(which)%len(fuzzedCalls)]
		r := httptest.NewRequest(call.method, "http://host/", bytes.NewReader(body))
		r.URL.Path = strings.Replace(call.path, "%s", part, 1)
		r.URL.RawPath = strings.Replace(call.path, "%s", url.PathEscape(part), 1)
		r.URL.RawQuery = query
		token := []string{adminToken, "user", "", "wrong"}[how%4]
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", []string{typeJSON, typeNDJSON, "", "text/plain"}[how/4%4])
		seq := h.Stats().LastSeq
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		checkAnswer(t, w)
		if now := h.Stats().LastSeq; token != adminToken && now != seq {
			t.Fatalf("%s published with the token %q", call.path, token)
		}
	})
}

func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	switch {
	case w.Code >= 500:
		t.Fatalf("status %d: %s", w.Code, w.Body)
	case w.Code < 300 || w.Code < 400 && w.Body.Len() == 0:
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("status %d with %q", w.Code, w.Body)
		}
	case w.Code >= 400 && strings.HasPrefix(w.Header().Get("Content-Type"), typeJSON):
		var answer struct{ Error failure }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Error.Code == "" || answer.Error.Message == "" {
			t.Fatalf("status %d with %q: %v", w.Code, w.Body, err)
		}
	}
}
