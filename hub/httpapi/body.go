package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeForm   = "application/x-www-form-urlencoded" // what curl -d says of everything
)

// readBody reads the whole body, at most MaxBody bytes. The caller owns the result, and calls done
// once when nothing is held any more that was made of it.
func (a *api) readBody(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, nil, newFailure(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE",
			"bodies can't be compressed: Content-Encoding "+enc)
	}
	// net/http looks for a method of its own ResponseWriter to close the connection in an
	// orderly way when a body is too long; without it one answer in a hundred is lost.
	if rec, ok := w.(*recorder); ok {
		w = rec.ResponseWriter
	}
	steady := &steadyBody{ReadCloser: r.Body, conn: connOf(r)}
	body, done, err = a.readHeld(r.Context(), http.MaxBytesReader(w, steady, a.MaxBody), r.ContentLength)
	var tooLong *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLong) && !errors.Is(err, hub.ErrOverloaded) {
		return nil, nil, incomplete()
	}
	return body, done, err
}

func incomplete() *failure {
	return newFailure(http.StatusBadRequest, "BODY_INCOMPLETE", "the body could not be read to its end")
}

// withoutBody is h for requests whose body is empty: whoever says in one what is to be done, as with {"tenant":"t"},
// must not have all else done.
func withoutBody(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := checkNoBody(r); f != nil {
			writeFailure(w, f)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// checkNoBody waits for chunks until the deadline for what nobody wants (ServeHTTP): only they tell whether there is any.
func checkNoBody(r *http.Request) *failure {
	n := 1
	if r.ContentLength <= 0 {
		var err error
		n, err = io.ReadFull(r.Body, make([]byte, 1))
		if n == 0 && err != io.EOF {
			return incomplete()
		}
	}
	if n > 0 {
		return newFailure(http.StatusBadRequest, "UNEXPECTED_BODY", "this call takes no body, and nothing was done")
	}
	if conn := connOf(r); conn != nil && r.ContentLength != 0 {
		_ = conn.SetReadDeadline(time.Time{}) // net/http would have the caller gone in the middle of the call
	}
	return nil
}

// believed is how many bytes of a body have to come before its Content-Length is believed.
const believed = 64 << 10

// readHeld reads to the end, and has what it takes counted as buffered until it is the body's turn:
// both may take their time. size is how much will come, or negative.
func (a *api) readHeld(ctx context.Context, r io.Reader, size int64) (body []byte, done func(), err error) {
	release := func() {}
	defer func() { release() }()
	for grown := 4 << 10; ; grown *= 2 {
		if size >= 0 && (int64(grown) > size || grown > believed) {
			grown = int(size) + 1 // for a reader that tells the end only when it is read beyond
		}
		held, err := a.hub.Reserve(grown)
		if err != nil {
			return nil, nil, err
		}
		body = append(make([]byte, 0, grown), body...)
		release()
		release = held
		for len(body) < cap(body) {
			n, err := r.Read(body[len(body):cap(body)])
			body = body[:len(body)+n]
			if err == io.EOF {
				done, err = a.turn(ctx, int64(len(body)))
				return body, done, err
			}
			if err != nil {
				return nil, nil, err
			}
		}
	}
}

// largeBody is from how many bytes on a body waits for its turn.
const largeBody = 16 << 10

// turn waits until a body of so many bytes may be made into a message, which takes up to three times
// those bytes and is counted nowhere: large ones have together as many as the largest.
func (a *api) turn(ctx context.Context, size int64) (done func(), err error) {
	if size < largeBody {
		return func() {}, nil
	}
	if err := a.large.Acquire(ctx, size); err != nil {
		return nil, err
	}
	return func() { a.large.Release(size) }, nil
}

// readJSON reads a body of the type application/json, which a missing Content-Type and curl's
// stand for too. The result is like readBody's, and isn't parsed yet.
func (a *api) readJSON(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	if t, err := mediaType(r); err != nil || t != typeJSON {
		return nil, nil, unsupportedType(typeJSON)
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
