package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

func TestTextLine(t *testing.T) {
	for message, want := range map[string]string{
		`{"a":"ü"}`:              `{"a":"ü"}`,
		"{\r\n\t\"a\": 1\n}":     `{   "a": 1 }`,
		"{\"a\":\"\u009b2J\"}":   `{"a":"\u009b2J"}`,
		"\x1b]0;title\x07\x7fx":  `\u001b]0;title\u0007\u007fx`,
		"two\nlines are one":     "two lines are one",
		strings.Repeat("x", 500): strings.Repeat("x", 500),
	} {
		if got := textLine([]byte(message)); got != want {
			t.Errorf("%q:\n got %s\nwant %s", message, got, want)
		}
	}
}

func TestTextLineKeepsTheValue(t *testing.T) {
	const message = "{\n\"a\": \"x\u0085y\u007f\" }"
	var before, after any
	if err := json.Unmarshal([]byte(message), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(textLine([]byte(message))), &after); err != nil {
		t.Fatal(err)
	}
	if before.(map[string]any)["a"] != after.(map[string]any)["a"] {
		t.Errorf("%q became %q", before, after)
	}
}

func frameFor(t *testing.T, kind hub.RowKind, entity, row, payload string) []byte {
	t.Helper()
	frame, err := hub.AppendRowFrame(nil, kind, entity, row, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// docs/protocol.md section 3: row frames, and other binary messages.
func TestBinaryMessages(t *testing.T) {
	for _, c := range []struct {
		message    []byte
		line, json string
	}{
		{frameFor(t, hub.Snapshot, "Todo", "t_1", "hello"), `row Todo/t_1 snapshot 5 bytes "hello"`,
			`{"type":"row","entity":"Todo","row_id":"t_1","kind":"snapshot","payload":"aGVsbG8="}`},
		{frameFor(t, hub.Incremental, "Todo", "t_1", ""), `row Todo/t_1 update 0 bytes ""`,
			`{"type":"row","entity":"Todo","row_id":"t_1","kind":"update","payload":""}`},
		{frameFor(t, hub.Snapshot, "a b", "c\n", "\xff\x00"), `row "a b/c\n" snapshot 2 bytes "\xff\x00"`,
			`{"type":"row","entity":"a b","row_id":"c\n","kind":"snapshot","payload":"/wA="}`},
		{[]byte("free form\n"), `binary 10 bytes "free form\n"`, `{"type":"binary","payload":"ZnJlZSBmb3JtCg=="}`},
		{nil, `binary 0 bytes ""`, `{"type":"binary","payload":""}`},
	} {
		if got := binaryLine(c.message); got != c.line {
			t.Errorf("got  %s\nwant %s", got, c.line)
		}
		if got := binaryJSON(c.message); got != c.json {
			t.Errorf("got  %s\nwant %s", got, c.json)
		}
	}
}

func TestExcerptIsShort(t *testing.T) {
	text := strings.Repeat("x", maxExcerpt-1)
	for payload, want := range map[string]string{
		text + "x":    `"` + text + `x"`,
		text + "xy":   `"` + text + `x"…`,
		"\xff" + text: `"\xff` + text + `"`,
		text + "€":    `"` + text + `\xe2"…`,
	} {
		if got := excerpt([]byte(payload)); got != want {
			t.Errorf("%q:\n got %s\nwant %s", payload, got, want)
		}
	}
}
