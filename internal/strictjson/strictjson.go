// Package strictjson decodes JSON that says who may do or see what, so that it can be read in
// one way only. encoding/json can't be told to: it takes Is_Admin for is_admin, and the last of
// two.
//
// Names match exactly, and stand once in an object, at any depth. Text is UTF-8, a string that is
// decoded has no lone surrogates, and nothing follows the value. null is an error wherever Go has
// no null, pointers included: a field that is there but says nothing isn't one that was left out.
// A jsontext.Value or json.RawMessage takes any value as it stands; in an any, numbers are
// json.Number.
package strictjson

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Error says what is wrong with a text, and where. It quotes none of its values, which may be
// secret.
type Error struct {
	Field   string // names with dots between them; "" for the whole text, or where it isn't JSON
	Message string
	Offset  int64 // bytes before it
	Syntax  bool  // it isn't JSON, or isn't an object where one is expected; else a field is wrong
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return fmt.Sprintf("at byte %d: %s", e.Offset, e.Message)
}

// Unmarshal decodes text into what v points to. Names that v doesn't have are passed over. An
// error is an *Error. v doesn't share memory with text.
func Unmarshal(text []byte, v any) error { return unmarshal(text, v) }

// UnmarshalKnown is Unmarshal for text in which a name that v doesn't have is an error.
func UnmarshalKnown(text []byte, v any) error {
	return unmarshal(text, v, json.RejectUnknownMembers(true))
}

// decoding is for text that was scanned. Halves of surrogate pairs (\ud800) may stand where they
// are only passed on: JSON.stringify writes them for a string that was cut within a character.
// What they would mean is looked at in strings that are decoded.
var decoding = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(decode)))

// Check is Unmarshal for a text that is only passed on as it is.
func Check(text []byte) error {
	s := scanner{text: text, strict: true}
	s.whole()
	return s.error()
}

func unmarshal(text []byte, v any, more ...json.Options) error {
	if err := Check(text); err != nil {
		return err
	}
	if err := json.Unmarshal(text, v, append(more, decoding)...); err != nil {
		return describe(err)
	}
	return nil
}

var (
	errNull      = errors.New("null isn't taken here")
	errSurrogate = errors.New("it holds half of a surrogate pair, which is no character")
)

// decode is asked for every value before package json decodes it.
func decode(d *jsontext.Decoder, v any) error {
	switch v := v.(type) {
	case *jsontext.Value, *stdjson.RawMessage, json.UnmarshalerFrom:
		return json.SkipFunc
	case *any:
		switch d.PeekKind() {
		case '0':
			number, err := d.ReadValue()
			*v = stdjson.Number(number)
			return err
		case '"':
			s, err := readString(d)
			*v = s
			return err
		}
		return json.SkipFunc
	case *string:
		if d.PeekKind() == '"' {
			s, err := readString(d)
			*v = s
			return err
		}
	}
	if d.PeekKind() == 'n' {
		return errNull
	}
	return json.SkipFunc
}

func readString(d *jsontext.Decoder) (string, error) {
	quoted, err := d.ReadValue()
	if err != nil {
		return "", err
	}
	s, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return "", errSurrogate
	}
	return string(s), nil
}

func describe(err error) *Error {
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return &Error{Message: "it can't be read", Syntax: true}
	}
	e := &Error{Field: field(semantic.JSONPointer), Message: reason(semantic), Offset: semantic.ByteOffset}
	e.Syntax = e.Field == ""
	return e
}

// field writes a pointer with dots, and without the numbers of an array's elements. A text can have
// names without end.
func field(p jsontext.Pointer) string {
	var names []string
	for name := range p.Tokens() {
		if strings.Trim(name, "0123456789") != "" {
			names = append(names, name)
		}
	}
	return fmt.Sprintf("%.100s", strings.Join(names, "."))
}

// Expected is an error of a field's own UnmarshalJSONFrom: what it takes.
type Expected string

func (e Expected) Error() string { return string(e) + " is expected" }

const unknownName = "there is no such field"

func reason(e *json.SemanticError) string {
	var expected Expected
	switch {
	case errors.Is(e.Err, json.ErrUnknownName):
		return unknownName
	case errors.Is(e.Err, errNull), errors.Is(e.Err, errSurrogate), errors.As(e.Err, &expected):
		return e.Err.Error()
	case e.GoType == nil:
		return "it can't be read"
	}
	want := "a string"
	switch e.GoType.Kind() {
	case reflect.Bool:
		want = "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		want = "a whole number in range"
	case reflect.Slice, reflect.Array:
		want = "an array"
	case reflect.Struct, reflect.Map:
		want = "an object"
	}
	return expectedNot(want, e.JSONKind)
}

func expectedNot(want string, kind jsontext.Kind) string {
	want += " is expected"
	if kind, ok := kinds[kind]; ok {
		want += ", not " + kind
	}
	return want
}

// kinds has no number: one that isn't taken may be taken if it were another.
var kinds = map[jsontext.Kind]string{'t': "true", 'f': "false", '"': "a string", '{': "an object", '[': "an array"}
