package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeForm   = "application/x-www-form-urlencoded" // what curl -d says of everything
)

// readBody reads the whole body, at most MaxBody bytes. The caller owns the result.
func (a *api) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, newFailure(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE",
			"bodies can't be compressed: Content-Encoding "+enc)
	}
	// net/http looks for a method of its own ResponseWriter to close the connection in an
	// orderly way when a body is too long; without it one answer in a hundred is lost.
	if rec, ok := w.(*recorder); ok {
		w = rec.ResponseWriter
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.MaxBody))
	var tooLong *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLong) {
		return nil, newFailure(http.StatusBadRequest, "BODY_INCOMPLETE", "the body could not be read to its end")
	}
	return body, err
}

// readJSON reads a body of the type application/json, which a missing Content-Type and curl's
// stand for too. The result is UTF-8 but isn't parsed yet.
func (a *api) readJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if t, err := mediaType(r); err != nil || t != typeJSON {
		return nil, unsupportedType(typeJSON)
	}
	return a.readBody(w, r)
}

func mediaType(r *http.Request) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return typeJSON, nil
	}
	t, _, err := mime.ParseMediaType(header)
	if t == typeForm {
		t = typeJSON
	}
	return t, err
}

func unsupportedType(want string) *failure {
	return newFailure(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "this call takes Content-Type "+want)
}

// decodeStrict reads one JSON value into v and refuses keys that v doesn't have, so that
// a misspelled key is an error and not a message to everybody. Errors are failures
// that name the field or the offset.
func decodeStrict(body []byte, v any) error {
	// encoding/json lets invalid UTF-8 through in a RawMessage; sent on in a text
	// frame it would end the connection of everybody who gets it (RFC 6455 section 8.1).
	if !utf8.Valid(body) {
		return invalidJSON("not valid UTF-8", int64(validPrefix(body)))
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeFailure(err, int64(len(body)))
	}
	end := dec.InputOffset()
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalidJSON("something follows the value", end)
	}
	return nil
}

func decodeFailure(err error, size int64) *failure {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return invalidJSON(syntax.Error(), syntax.Offset)
	case errors.As(err, &mismatch):
		f := invalidField(mismatch.Field, fmt.Sprintf("a %s is expected, not a %s", mismatch.Type, mismatch.Value))
		if mismatch.Field == "" {
			f = invalidJSON("an object is expected, not a "+mismatch.Value, mismatch.Offset)
		}
		f.Offset = &mismatch.Offset
		return f
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return invalidJSON("the value isn't complete", size)
	}
	// encoding/json has no type for this error.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return invalidField(strings.Trim(name, `"`), "there is no such field")
	}
	return invalidJSON(err.Error(), 0)
}

func invalidJSON(message string, offset int64) *failure {
	f := newFailure(http.StatusBadRequest, "INVALID_JSON", fmt.Sprintf("at byte %d: %s", offset, message))
	f.Offset = &offset
	return f
}

// checkJSON is decodeStrict for a value that is passed on as it is.
func checkJSON(body []byte) error {
	var raw json.RawMessage
	return decodeStrict(body, &raw)
}

// validPrefix is how many bytes of b are valid UTF-8 before the first that isn't.
func validPrefix(b []byte) int {
	n := 0
	for n < len(b) {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		n += size
	}
	return n
}
