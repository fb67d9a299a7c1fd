package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// failure is an answer other than success, and an error inside this package. Its
// JSON is the object under "error"; the keys after message stand there when they mean
// something for the code.
type failure struct {
	status int

	Code    string `json:"code"`
	Message string `json:"message"`

	Field     string  `json:"field,omitempty"`      // of the body, the path or the query
	Offset    *int64  `json:"offset,omitempty"`     // bytes into the body, or into its line
	Line      int     `json:"line,omitempty"`       // of an NDJSON body, from 1
	Applied   *int    `json:"applied,omitempty"`    // changes of the body that were published
	OldestSeq *uint64 `json:"oldest_seq,omitempty"` // with RESYNC_REQUIRED
	LastSeq   *uint64 `json:"last_seq,omitempty"`   // with SEQ_NOT_RISING
	WebSocket string  `json:"websocket,omitempty"`  // its address, with UPGRADE_REQUIRED
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func newFailure(status int, code, message string) *failure {
	return &failure{status: status, Code: code, Message: message}
}

func invalidField(field, message string) *failure {
	f := newFailure(http.StatusBadRequest, "INVALID_FIELD", field+": "+message)
	f.Field = field
	return f
}

// failureOf turns what a handler returned into its answer. What it doesn't know is
// a 500 whose text stays in the log: it may name files and addresses.
func failureOf(err error) *failure {
	var known *failure
	var unread *strictjson.Error
	var field *hub.FieldError
	var resync *hub.ResyncError
	var seq *hub.SeqError
	var tooLarge *hub.SizeError
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &field) && errors.As(field, &unread):
		return unreadable(unread)
	case errors.As(err, &field):
		return invalidField(field.Field, field.Message)
	case errors.As(err, &resync):
		f := newFailure(http.StatusGone, "RESYNC_REQUIRED", "the change log doesn't reach back to that cursor, or never got to it: fetch a full copy")
		f.OldestSeq = &resync.OldestSeq
		return f
	case errors.As(err, &seq):
		f := newFailure(http.StatusConflict, "SEQ_NOT_RISING", seq.Error())
		f.LastSeq = &seq.Last
		return f
	case errors.As(err, &tooLong):
		return newFailure(http.StatusRequestEntityTooLarge, "TOO_LARGE",
			fmt.Sprintf("the body is too large: at most %d bytes are allowed (-max-message-out)", tooLong.Limit))
	case errors.As(err, &tooLarge):
		return newFailure(http.StatusRequestEntityTooLarge, "TOO_LARGE", err.Error()+" (-max-message-out)")
	case errors.Is(err, hub.ErrTooLarge):
		return newFailure(http.StatusRequestEntityTooLarge, "TOO_LARGE", err.Error())
	case errors.Is(err, hub.ErrOverloaded):
		return newFailure(http.StatusServiceUnavailable, "OVERLOADED", "too much is buffered for clients (-buffer-memory), try again")
	case errors.Is(err, hub.ErrLogFull):
		return newFailure(http.StatusInsufficientStorage, "LOG_FULL", "the change log has no room left on its disk")
	case errors.Is(err, hub.ErrLogUnavailable):
		return newFailure(http.StatusServiceUnavailable, "LOG_UNAVAILABLE", "the change log can't store anything now, try again")
	case errors.Is(err, hub.ErrPeers):
		return newFailure(http.StatusServiceUnavailable, "NODES_UNREACHABLE", "another node can't be reached, or doesn't answer; it was done at all others, try again")
	case errors.Is(err, hub.ErrShutDown):
		return newFailure(http.StatusServiceUnavailable, "DRAINING", "the server is shutting down, and nobody is left to publish to")
	case errors.Is(err, eventloop.ErrStopped):
		return newFailure(http.StatusServiceUnavailable, "DRAINING", "the server is shutting down")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return newFailure(http.StatusServiceUnavailable, "UNAVAILABLE", "the call took too long, try again")
	}
	return newFailure(http.StatusInternalServerError, "INTERNAL", "internal error; the server's log has more")
}

// decodeBody is strictjson.UnmarshalKnown for what a caller sent. What stores and other nodes send isn't the caller's fault.
func decodeBody(body []byte, v any) error {
	err := strictjson.UnmarshalKnown(body, v)
	var wrong *strictjson.Error
	if errors.As(err, &wrong) {
		return unreadable(wrong)
	}
	return err
}

func unreadable(e *strictjson.Error) *failure {
	f := invalidField(e.Field, e.Message)
	if e.Syntax {
		f = newFailure(http.StatusBadRequest, "INVALID_JSON", fmt.Sprintf("at byte %d: %s", e.Offset, e.Message))
	}
	f.Offset = &e.Offset
	return f
}

// writeFailure answers with f. RFC 9110 sections 10.2.3 and 11.6.1 ask for the two headers.
func writeFailure(w http.ResponseWriter, f *failure) {
	switch f.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusUpgradeRequired: // RFC 9110 15.5.22 and 7.8
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
	}
	body, _ := json.Marshal(map[string]*failure{"error": f}) // strings and numbers alone: can't fail
	writeBody(w, f.status, body)
}

// writeJSON answers 200 with v.
func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	writeBody(w, http.StatusOK, body)
	return nil
}

// writeBody sends encoded JSON. A failed write is the client's going away, which nobody is
// left to hear of.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	writeHeader(w, status)
	_, _ = w.Write(append(body, '\n'))
}

// writeHeader says that JSON follows. Answers are about now and about one caller, so no cache
// may keep them.
func writeHeader(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
}
