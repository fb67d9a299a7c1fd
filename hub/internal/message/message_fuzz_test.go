package message

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func relaySeeds(f *testing.F, add func(message string)) {
	f.Helper()
	for _, message := range []string{`{"type":"presence"}`, `{"fr\u006fm":1,"from":2,"a":{"from":3}}`, ` { } `, `{"a":1,"a":[{}]}`,
		`{"type":"\ud800","rowId":null,"row_id":"x"}`, `{"type":"a","type":2}`, `[`, `{"a":"\`, `{"":"","From":0}`,
		`{"type":"topic","ſeq":1}`, `{"Type":"","\u0074ype":"x"}`, `{"type":"x","event":"disconnect","\u212A":0,"clientId":1}`} {
		add(message)
	}
}

func FuzzStampFrom(f *testing.F) {
	relaySeeds(f, func(message string) { f.Add([]byte(message), `u"1`) })
	f.Fuzz(func(t *testing.T, message []byte, from string) {
		sent := bytes.Clone(message)
		out, err := StampFrom([]byte("x"), message, from)
		if !bytes.Equal(sent, message) {
			t.Fatal("the message was changed")
		}
		want, isObject := topLevel(message)
		if !isObject {
			return // it must not panic, no more
		}
		if err != nil {
			t.Fatalf("%q: %v", message, err)
		}
		checkStamped(t, out[1:], want, from)
	})
}

func checkStamped(t *testing.T, out []byte, sent []keyValue, from string) {
	t.Helper()
	got, isObject := topLevel(out)
	if !isObject {
		t.Fatalf("not an object: %q", out)
	}
	asText := string([]rune(from)) // one U+FFFD for each byte that isn't UTF-8
	var stamped string
	last := got[len(got)-1]
	if last.key != "from" || json.Unmarshal(last.value, &stamped) != nil || stamped != asText {
		t.Fatalf("%q: stamped %s: %s, want %q", out, last.key, last.value, asText)
	}
	got = got[:len(got)-1]
	for _, kv := range sent {
		if strings.EqualFold(kv.key, "from") {
			continue
		}
		if len(got) == 0 || got[0].key != kv.key || !bytes.Equal(got[0].value, kv.value) {
			t.Fatalf("%q: lost or changed %q: %s", out, kv.key, kv.value)
		}
		got = got[1:]
	}
	if len(got) != 0 {
		t.Fatalf("%q: added %v", out, got)
	}
}

type keyValue struct {
	key   string
	value json.RawMessage
}

// topLevel is encoding/json's view of an object, in order, repeated keys included.
func topLevel(message []byte) ([]keyValue, bool) {
	if !json.Valid(message) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(message))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	var found []keyValue
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return nil, false
		}
		found = append(found, keyValue{key.(string), value})
	}
	return found, true
}

func FuzzParse(f *testing.F) {
	relaySeeds(f, func(message string) { f.Add([]byte(message)) })
	f.Fuzz(func(t *testing.T, message []byte) {
		if !utf8.Valid(message) {
			return // refused before it gets here
		}
		got, ok := Parse(message)
		want, wantOK := parseByTheBook(message)
		if ok != wantOK || (ok && got.String() != want.String()) {
			t.Fatalf("%q: got %s, %v, want %s, %v", message, got, ok, want, wantOK)
		}
		if ok && got.Forged != forgedByTheBook(message) {
			t.Fatalf("%q: forged is %v", message, got.Forged)
		}
	})
}

// parseByTheBook is Parse by way of a map, in which the last key wins. Numbers stay text: JSON
// bounds none (RFC 8259 section 6), and encoding/json reads none that a float64 can't hold.
func parseByTheBook(message []byte) (Message, bool) {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(message))
	decoder.UseNumber()
	if !json.Valid(message) || decoder.Decode(&fields) != nil {
		return Message{}, false
	}
	str := func(key string) []byte {
		s, _ := fields[key].(string)
		return []byte(s)
	}
	row := "row_id"
	if _, camel := fields["rowId"]; camel {
		row = "rowId"
	}
	_, ok := fields["type"].(string)
	return Message{Kind: str("type"), Topic: str("topic"), Entity: str("entity"), RowID: str(row)}, ok
}

func forgedByTheBook(message []byte) bool {
	fields, _ := topLevel(message)
	types, disconnect, client := 0, false, false
	for _, kv := range fields {
		switch {
		case strings.EqualFold(kv.key, "seq"):
			return true
		case strings.EqualFold(kv.key, "type"):
			types++
		case strings.EqualFold(kv.key, "event"):
			var event any
			disconnect = json.Unmarshal(kv.value, &event) == nil && event == "disconnect" || disconnect
		case strings.EqualFold(kv.key, "clientId"), strings.EqualFold(kv.key, "clientIds"):
			client = true
		}
	}
	return types > 1 || disconnect && client
}
