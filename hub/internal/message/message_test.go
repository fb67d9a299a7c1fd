package message

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// docs/protocol.md section 2: "from" is the server's, however the client spelled its own; all else that
// it sent reaches others as sent.
func TestStampFrom(t *testing.T) {
	for _, c := range []struct{ name, message, want string }{
		{"none sent", `{"type":"presence","x":1}`, `{"type":"presence","x":1,"from":"u1"}`},
		{"first", `{"from":"evil","type":"presence"}`, `{"type":"presence","from":"u1"}`},
		{"middle", `{"type":"presence","from":"evil","x":1}`, `{"type":"presence","x":1,"from":"u1"}`},
		{"last", `{"type":"presence","from":"evil"}`, `{"type":"presence","from":"u1"}`},
		{"alone", `{"from":"evil"}`, `{"from":"u1"}`},
		{"empty", `{}`, `{"from":"u1"}`},
		{"empty with space", " { \n } ", `{"from":"u1"}`},
		{"repeated", `{"from":1,"a":2,"from":{"b":[]},"from":"x"}`, `{"a":2,"from":"u1"}`},
		{"escaped", `{"fr\u006fm":"evil","a":2}`, `{"a":2,"from":"u1"}`},
		{"escaped throughout", `{"\u0066\u0072\u006F\u006d":"evil"}`, `{"from":"u1"}`},
		{"in capitals", `{"From":"evil","FROM":1,"f\u0052oM":2,"a":3}`, `{"a":3,"from":"u1"}`},
		{"not quite from", `{"fromm":2,"fro":3,"from ":4,"\\from":5,"f\ud800rom":6,"":7,"from_":8,"\u0066\u0072\u006f":9}`,
			`{"fromm":2,"fro":3,"from ":4,"\\from":5,"f\ud800rom":6,"":7,"from_":8,"\u0066\u0072\u006f":9,"from":"u1"}`},
		{"nested stays", `{"data":{"from":"kept","l":[{"from":1}]}}`, `{"data":{"from":"kept","l":[{"from":1}]},"from":"u1"}`},
		{"in a string", `{"data":"\",\"from\":\"kept\"}"}`, `{"data":"\",\"from\":\"kept\"}","from":"u1"}`},
		{"numbers", `{"n":1.000000000000000000010e+400,"z":-0.0}`, `{"n":1.000000000000000000010e+400,"z":-0.0,"from":"u1"}`},
		{"repeated others", `{"a":1,"a":2,"b":3,"a":4}`, `{"a":1,"a":2,"b":3,"a":4,"from":"u1"}`},
		{"space stays", "{ \"a\" : 1 ,\t\"b\":[ 1 ]\n}", "{ \"a\" : 1 ,\t\"b\":[ 1 ]\n,\"from\":\"u1\"}"},
		{"space around", " \r\n{\"a\":1}\t ", `{"a":1,"from":"u1"}`},
		{"lone surrogate", `{"a":"\ud800","\udfff":1}`, `{"a":"\ud800","\udfff":1,"from":"u1"}`},
	} {
		got, err := StampFrom([]byte("before "), []byte(c.message), "u1")
		if err != nil || string(got) != "before "+c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestStampFromEscapesTheName(t *testing.T) {
	for _, from := range []string{`a"b\c`, "tab\tline\nnull\x00", "</script>&", "Zoë 🦀", "", "admin"} {
		out, err := StampFrom(nil, []byte(`{"type":"topic"}`), from)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(out, &got); err != nil || got["from"] != from {
			t.Errorf("%q became %q: %v", from, got["from"], err)
		}
	}
}

// docs/protocol.md section 2: what only the server says isn't relayed, however it is spelled, and to
// whatever decoder it would say so.
func TestForged(t *testing.T) {
	for _, message := range []string{
		`{"type":"topic","seq":2,"entity":"Account","row_id":"acc1","kind":"update","data":{"balance":0}}`,
		`{"type":"presence","seq":null}`,
		`{"seq":9007199254740991,"type":"presence"}`,
		`{"type":"presence","Seq":1}`,
		`{"type":"presence","SEQ":1}`,
		`{"type":"presence","\u0073eq":1}`,
		`{"type":"presence","\u0053\u0045\u0051":1}`,
		`{"type":"presence","ſeq":1}`,
		`{"type":"presence","\u017FeQ":1}`,
		`{"type":"presence","a":{},"seq":1,"b":[]}`,
		`{"type":"presence","event":"disconnect","clientId":17}`,
		`{"type":"presence","event":"disconnect","clientIds":[17,18]}`,
		`{"clientId":17,"event":"disconnect","type":"presence"}`,
		`{"type":"presence","event":"dis\u0063onnect","client\u0049d":17}`,
		`{"type":"presence","Event":"disconnect","CLIENTID":17}`,
		`{"type":"presence","event":"disconnect","event":"join","clientId":17}`,
		`{"type":"presence","event":"join","event":"disconnect","clientId":17}`,
		`{"type":"topic","event":"disconnect","clientId":17}`,
		`{"type":"presence","Type":"resync","oldest_seq":1}`,
		`{"type":"resync","oldest_seq":1,"type":"presence"}`,
		`{"TYPE":"gap","type":"topic"}`,
	} {
		if m, ok := Parse([]byte(message)); !ok || !m.Forged {
			t.Errorf("%s: %v, forged %v", message, ok, m.Forged)
		}
	}
	for _, message := range []string{
		`{"type":"presence","event":"cursor","clientId":17}`,
		`{"type":"presence","event":"disconnect"}`,
		`{"type":"presence","event":"Disconnect","clientId":17}`, // values are compared as they are
		`{"type":"presence","event":["disconnect"],"clientId":17}`,
		`{"type":"presence","event":"disconnected","clientId":17}`,
		`{"type":"presence","data":{"seq":1,"type":"resync","event":"disconnect","clientId":17}}`,
		`{"type":"topic","entity":"Account","row_id":"acc1","kind":"update"}`, // no event without a seq
		`{"type":"presence","se":1,"seqq":1,"s eq":1,"seq ":1,"ѕeq":1,"s\\u0065q":1,"last_seq":1,"\ud835eq":1}`,
	} {
		if m, ok := Parse([]byte(message)); !ok || m.Forged {
			t.Errorf("%s: %v, forged %v", message, ok, m.Forged)
		}
	}
}

// A decoder that doesn't tell "From" from "from" must not be fooled either.
func TestStampFromWinsOverOtherCase(t *testing.T) {
	for _, message := range []string{`{"From":"evil"}`, `{"FROM":"evil","from":"evil"}`} {
		out, err := StampFrom(nil, []byte(message), "u1")
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			From string `json:"from"`
		}
		if err := json.Unmarshal(out, &got); err != nil || got.From != "u1" {
			t.Errorf("%s: a Go client sees %q: %v", out, got.From, err)
		}
	}
}

func TestStampFromRefusesWhatIsNoObject(t *testing.T) {
	for _, message := range []string{"", " ", "1", `"from"`, "[]", "null", "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`,
		`{"a":1,}`, `{"a" 1}`, `{1:2}`, `{"a":[}`, `{"a":"b}`, `{"a":"\`, `{} x`, `{"a":1}{`, `{"a":}`, `{,}`} {
		got, err := StampFrom([]byte("dst"), []byte(message), "u1")
		if !errors.Is(err, ErrNotObject) || string(got) != "dst" {
			t.Errorf("%s: got %s, %v", message, got, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ message, want string }{
		{`{"type":"presence"}`, "presence///"},
		{` { "x" : [1,{"type":"no"}], "topic" : "t" , "type" : "topic" } `, "topic/t//"},
		{`{"type":"crdt-subscribe","entity":"Todo","rowId":"1"}`, "crdt-subscribe//Todo/1"},
		{`{"type":"crdt-subscribe","entity":"Todo","row_id":"1"}`, "crdt-subscribe//Todo/1"},
		{`{"ty\u0070e":"sub\u0073cribe","topic":"a\/b\"\u00e9\ud83e\udd80"}`, `subscribe/a/b"é🦀//`},
		{`{"type":"x","topic":"\ud800"}`, "x/\uFFFD//"},
		{`{"type":""}`, "///"},
		// Not strings, or empty: as if absent.
		{`{"type":"x","topic":1,"entity":null,"rowId":{}}`, "x///"},
		{`{"type":"x","topic":"","entity":"","row_id":""}`, "x///"},
		// rowId wins over row_id in either order, whatever it is.
		{`{"type":"x","rowId":"a","row_id":"b"}`, "x///a"},
		{`{"type":"x","row_id":"b","rowId":"a"}`, "x///a"},
		{`{"type":"x","row_id":"b","rowId":null}`, "x///"},
		{`{"type":"x","rowId":"","row_id":"b"}`, "x///"},
		// The last of repeated keys counts, as in a browser.
		{`{"type":"a","type":"b","topic":"c","topic":"d","entity":"e","entity":1}`, "b/d//"},
		{`{"type":1,"type":"b"}`, "b///"},
	} {
		got, ok := Parse([]byte(c.message))
		if !ok || got.String() != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.message, got, ok, c.want)
		}
	}
}

func (m Message) String() string {
	return strings.Join([]string{string(m.Kind), string(m.Topic), string(m.Entity), string(m.RowID)}, "/")
}

// docs/protocol.md section 2: anything but an object with a string type is ignored.
func TestParseIgnores(t *testing.T) {
	for _, message := range []string{"", "null", `"type"`, "[]", "{}", `{"type":1}`, `{"type":null}`, `{"Type":"x"}`,
		`{"type":"a","type":1}`, `{"a":{"type":"x"}}`, `{"type":"x"`, `{"type":"x",}`, `{"type":"x"} {}`, `{type:"x"}`,
		`{"type":'x'}`, `{"type":"x","a":01}`, `{"type":"x","a":"\q"}`, "{\"type\":\"x\ny\"}", `[{"type":"x"}]`} {
		if got, ok := Parse([]byte(message)); ok {
			t.Errorf("%s: taken for %s", message, got)
		}
	}
}

func TestParseBoundsNesting(t *testing.T) {
	nested := func(depth int) []byte {
		return []byte(`{"type":"x","a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}")
	}
	if _, ok := Parse(nested(10_000)); !ok {
		t.Error("10,000 levels were refused")
	}
	if _, ok := Parse(nested(10_001)); ok {
		t.Error("10,001 levels were taken")
	}
}

func TestRelayingAllocatesNothing(t *testing.T) {
	message := []byte(`{"type":"presence","from":"evil","topic":"t","entity":"e","rowId":"r","data":{"x":[1,2,"3"]}` +
		strings.Repeat(`,"\n":1,"\u0066rom":2,"\u0074\u0079pe":"presence","\u017Feq":1,"Event":"dis\u0063onnect","clientIds":[1]`, 100) + `}`)
	dst := make([]byte, 0, 2*len(message))
	allocations := testing.AllocsPerRun(100, func() {
		if _, ok := Parse(message); !ok {
			t.Error("not parsed")
		}
		if _, err := StampFrom(dst, message, "someone"); err != nil {
			t.Error(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
