package hub

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/busbar-ws/busbar/hub/internal/message"
)

// docs/protocol.md section 3: the keys and their order; data absent on delete or when none.
func TestEncodeEvent(t *testing.T) {
	base := Event{Seq: 42, Entity: "Todo", RowID: "t_1", Timestamp: "1767225600Z"}
	for _, c := range []struct {
		kind ChangeKind
		data string
		want string
	}{
		{Insert, `{"a":1}`, `{"seq":42,"entity":"Todo","row_id":"t_1","kind":"insert","data":{"a":1},"timestamp":"1767225600Z"}`},
		{Update, "", `{"seq":42,"entity":"Todo","row_id":"t_1","kind":"update","timestamp":"1767225600Z"}`},
		{Update, "null", `{"seq":42,"entity":"Todo","row_id":"t_1","kind":"update","data":null,"timestamp":"1767225600Z"}`},
		{Update, `{ "n":1.10e+99 , "h":"<&>" }`, `{"seq":42,"entity":"Todo","row_id":"t_1","kind":"update","data":{ "n":1.10e+99 , "h":"<&>" },"timestamp":"1767225600Z"}`},
		{Delete, `{"a":1}`, `{"seq":42,"entity":"Todo","row_id":"t_1","kind":"delete","timestamp":"1767225600Z"}`},
		{Delete, "not JSON", `{"seq":42,"entity":"Todo","row_id":"t_1","kind":"delete","timestamp":"1767225600Z"}`},
	} {
		e := base
		e.Kind, e.Data = c.kind, json.RawMessage(c.data)
		if got, err := EncodeEvent(e); err != nil || string(got) != c.want {
			t.Errorf("got %s, %v, want %s", got, err, c.want)
		}
	}
	for _, data := range []string{"{", "1 2", " ", "\"\xff\""} {
		e := base
		e.Kind, e.Data = Update, json.RawMessage(data)
		var wrong *FieldError
		if got, err := EncodeEvent(e); !errors.As(err, &wrong) || wrong.Field != "data" {
			t.Errorf("data %q: got %s, %v", data, got, err)
		}
	}
}

func TestStringsAreNotEscapedForHTML(t *testing.T) {
	const name = "<b>&\u2028"
	got := string(message.AppendString(nil, name))
	if got != `"`+name+`"` {
		t.Errorf("got %s", got)
	}
}

// Whatever the strings are, the event is valid JSON in UTF-8 and says the same.
func FuzzEncodeEvent(f *testing.F) {
	f.Add("Todo", "t\"1\\", "insert", []byte(`{"a":"b"}`), "17Z")
	f.Add("\x00\x1f\x7f\u2028", "\xff\xc0", "delete", []byte("1"), "🦀")
	f.Fuzz(func(t *testing.T, entity, rowID, kind string, data []byte, timestamp string) {
		e := Event{Seq: 7, Entity: entity, RowID: rowID, Kind: ChangeKind(kind), Data: data, Timestamp: timestamp}
		encoded, err := EncodeEvent(e)
		if err != nil {
			if checkData(data) == nil {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		var got Event
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatalf("%q: %v", encoded, err)
		}
		asText := func(s string) string { return string([]rune(s)) }
		if got.Seq != 7 || got.Entity != asText(entity) || got.RowID != asText(rowID) ||
			string(got.Kind) != asText(kind) || got.Timestamp != asText(timestamp) {
			t.Fatalf("%+v became %+v", e, got)
		}
		if _, there := fieldsOf(t, encoded)["data"]; there != (e.Kind != Delete && len(data) > 0) {
			t.Fatalf("kind %q, data %q: %s", kind, data, encoded)
		}
	})
}

func fieldsOf(t *testing.T, object []byte) map[string]json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// What a log stores comes back as it was, data byte for byte.
func TestEncodeChangeIsWhatDecodeChangeReads(t *testing.T) {
	for _, c := range []Change{
		{Entity: "Todo", RowID: "1", Kind: Delete, Timestamp: "1Z"},
		{Entity: "T\"\\\n\u2028é", RowID: "<&>", Kind: Insert, Timestamp: "\t", Data: []byte("{ \"a\" : [1,\t2.50] }")},
		{Entity: "E", RowID: "r", Kind: Update, Timestamp: "1Z", Data: []byte("null"), Audience: Audience{Users: []string{"a", `"b"`}}},
		{Entity: "E", RowID: "r", Kind: Update, Timestamp: "1Z", Audience: Audience{Tenant: "acme\x00"}},
		{Entity: "E", RowID: "r", Kind: Update, Timestamp: "1Z", Audience: Audience{Topic: "news"}},
	} {
		text := EncodeChange(&c)
		got, err := DecodeChange(text)
		got.checked = nil
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}
