package strictjson_test

import (
	stdjson "encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

type inner struct {
	Users *[]string `json:"users"`
}

type message struct {
	Name  string             `json:"name"`
	Count *int64             `json:"count"`
	On    bool               `json:"on"`
	Data  stdjson.RawMessage `json:"data"`
	Inner *inner             `json:"inner"`
	Any   any                `json:"any"`
}

func TestWhatIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, text, field string
		offset            int64 // -1: any
		syntax            bool
	}{
		{"other case", `{"Name":"a"}`, "Name", -1, false},
		{"other case beside it", `{"name":"a","NAME":"b"}`, "NAME", -1, false},
		{"case folded further", `{"\u017fo":1}`, "ſo", -1, false},
		{"unknown, nested", `{"inner":{"user":["u"]}}`, "inner.user", -1, false},
		{"twice", `{"name":"a","name":"a"}`, "name", -1, false},
		{"twice, spelled otherwise", `{"name":"a","n\u0061me":"b"}`, "name", -1, false},
		{"twice, nested", `{"inner":{"users":["a"],"users":["b"]}}`, "inner.users", -1, false},
		{"twice, in data", `{"data":[{"a":1,"a":1}]}`, "data.a", -1, false},
		{"twice, in any", `{"any":{"a":1,"a":1}}`, "any.a", -1, false},
		{"null string", `{"name":null}`, "name", -1, false},
		{"null pointer", `{"count":null}`, "count", -1, false},
		{"null bool", `{"on":null}`, "on", -1, false},
		{"null object", `{"inner":null}`, "inner", -1, false},
		{"null list", `{"inner":{"users":null}}`, "inner.users", -1, false},
		{"null in a list", `{"inner":{"users":[null]}}`, "inner.users", -1, false},
		{"null", `null`, "", 0, true},
		{"fraction", `{"count":1.5}`, "count", -1, false},
		{"beyond 64 bits", `{"count":9223372036854775808}`, "count", -1, false},
		{"number in quotes", `{"count":"1"}`, "count", -1, false},
		{"text for true", `{"on":"true"}`, "on", -1, false},
		{"number for a string", `{"name":7}`, "name", 8, false},
		{"half a surrogate pair", `{"name":"\ud83d"}`, "name", -1, false},
		{"half a surrogate pair in a list", `{"inner":{"users":["\udc00"]}}`, "inner.users", -1, false},
		{"half a surrogate pair in any", `{"any":"\ud83d"}`, "any", -1, false},
		{"not UTF-8", "{\"name\":\"ab\xff\"}", "", 11, true},
		{"not UTF-8 in data", "{\"data\":\"\xc0\x80\"}", "", 9, true},
		{"cut off within UTF-8", "{\"name\":\"\xe2\x82", "", 9, true},
		{"cut off", `{"name":`, "", 8, true},
		{"empty", ``, "", 0, true},
		{"two values", `{} {}`, "", 3, true},
		{"rubbish behind", `{}x`, "", 2, true},
		{"byte order mark", "\ufeff{}", "", 0, true},
		{"an array", `[1]`, "", 0, true},
		{"comment", `{/**/}`, "", 1, true},
		{"comma at the end", `{"name":"a",}`, "", 12, true},
		{"too deep", `{"data":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, "", -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := strictjson.UnmarshalKnown([]byte(c.text), new(message))
			var e *strictjson.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Field != c.field || e.Syntax != c.syntax || e.Message == "" || c.offset >= 0 && e.Offset != c.offset {
				t.Errorf("got %+v (%v), want field %q, offset %d", *e, e, c.field, c.offset)
			}
		})
	}
}

func TestWhatIsTaken(t *testing.T) {
	const data = `[null, "\ud83d", 1e999, {"NAME":1,"name":2}]`
	text := []byte("\t{\"n\\u0061me\":\"\\ud83d\\ude00 é\",\"count\":9007199254740993,\"data\":" + data + ",\"any\":{\"a\":9007199254740993,\"b\":null}}\r\n")
	var m message
	if err := strictjson.UnmarshalKnown(text, &m); err != nil {
		t.Fatal(err)
	}
	clear(text)
	if m.Name != "😀 é" || *m.Count != 9007199254740993 || string(m.Data) != data || m.Inner != nil {
		t.Errorf("got %+v", m)
	}
	if want := map[string]any{"a": stdjson.Number("9007199254740993"), "b": nil}; !reflect.DeepEqual(m.Any, want) {
		t.Errorf("got %#v, want %#v", m.Any, want)
	}
}

func TestUnknownNamesArePassedOver(t *testing.T) {
	var m message
	if err := strictjson.Unmarshal([]byte(`{"NAME":"b","more":[{"\ud83d":null}],"name":"a","On":true}`), &m); err != nil || m.Name != "a" || m.On {
		t.Errorf("got %+v, %v", m, err)
	}
	if err := strictjson.Unmarshal([]byte(`{"more":1,"name":"a","more":1}`), &m); err == nil {
		t.Error("an unknown name stands twice, which other readers may take for either")
	}
}

func TestCheck(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, text := range []string{`null`, ` 1e999 `, `"\ud83d"`, `{"a":[],"A":{"a":1}}`, deep(9999)} {
		if err := strictjson.Check([]byte(text)); err != nil {
			t.Errorf("%.20s: %v", text, err)
		}
	}
	for text, says := range map[string]string{
		``: "at byte 0", `{}{}`: "at byte 2", "\"\xff\"": "at byte 1", `[01]`: "at byte 2", `"a`: "at byte 2", deep(10_001): "at byte 10000",
		`[{"a":{"b":1,"b":2}}]`: "a.b: stands twice", `{"a":1,"\u0061":2}`: "a: stands twice",
	} {
		if err := strictjson.Check([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%.20s: got %v, want %s", text, err, says)
		}
	}
}

func TestLongNamesAreCut(t *testing.T) {
	err := strictjson.UnmarshalKnown([]byte(`{"`+strings.Repeat("é", 10_000)+`":1}`), new(message))
	var e *strictjson.Error
	if !errors.As(err, &e) || e.Field != strings.Repeat("é", 100) {
		t.Errorf("got %v", err)
	}
}

// Errors go to logs, and what is read may hold tokens.
func TestErrorsQuoteNoValues(t *testing.T) {
	const secret = "s3cret"
	for _, text := range []string{
		secret, `"` + secret + `"`, `{"name":"` + secret, `{"count":"` + secret + `"}`, `{"on":"` + secret + `"}`, `{"inner":"` + secret + `"}`,
		`{"name":"` + secret + `"}` + secret, `{"name":["` + secret + `"]}`, `{"name":"\q` + secret + `"}`, `{"count":` + secret + `}`,
	} {
		if err := strictjson.Unmarshal([]byte(text), new(message)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What is taken is JSON for encoding/json too, and what isn't has an error that says why.
func FuzzUnmarshal(f *testing.F) {
	for _, text := range []string{
		`{"name":"a","count":1,"on":true,"data":[{}],"inner":{"users":["u"]},"any":{"a":1.5}}`, `{"Name":"a"}`, `{"name":"a","n\u0061me":"b"}`,
		`{"data":{"a":1,"a":2}}`, `{"name":"\ud83d"}`, "{\"name\":\"\xff\"}", `{"inner":null}`, `{"any":[null,"\udc00"]}`, `{}{}`, ``, `[`, `{"count":1e2}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m message
		err := strictjson.UnmarshalKnown(text, &m)
		var wrong *strictjson.Error
		switch {
		case errors.As(err, &wrong):
			if wrong.Message == "" || wrong.Syntax && wrong.Field != "" || !utf8.ValidString(err.Error()) {
				t.Fatalf("%q: %+v", text, *wrong)
			}
		case err != nil:
			t.Fatalf("%q: %v", text, err)
		default:
			var same message
			if err := stdjson.Unmarshal(text, &same); err != nil || same.Name != m.Name || !utf8.Valid(text) || strictjson.Check(text) != nil {
				t.Fatalf("%q was taken for %+v: %v", text, m, err)
			}
		}
	})
}

// Whatever decodes JSON that comes from outside the process does it here. Elsewhere there is a reason.
func TestNobodyElseDecodes(t *testing.T) {
	const root = "../.."
	reasons := map[string]string{
		"internal/strictjson/strictjson.go": "is it",
		"hub/auth/answer.go":                "within it, of one field",
		"hub/auth/jwk.go":                   "exact names, once; what is odd in a key is that key's affair (RFC 7517 section 4)",
		"internal/natsconn/stream.go":       "NATS' own words, and its own types for them",
		"internal/natsnode/replace.go":      "NATS' own words, and its own types for them",
		"internal/natstest/natstest.go":     "for tests",
	}
	decodes := regexp.MustCompile(`json\w*\.(Unmarshal\w*|NewDecoder)\(`)
	strictly := regexp.MustCompile(`strictjson\.\w+\(`)
	found := make(map[string]bool)
	for _, dir := range []string{"client", "cmd/busbar", "eventloop", "hub", "internal", "subs", "wsproto"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if decodes.Match(strictly.ReplaceAll(text, nil)) {
				name, _ := filepath.Rel(root, path)
				found[name] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range found {
		if reasons[name] == "" {
			t.Errorf("%s decodes JSON without this package", name)
		}
	}
	for name := range reasons {
		if !found[name] {
			t.Errorf("%s doesn't decode JSON by itself any more", name)
		}
	}
}
