package client

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

var (
	// ErrSilent ends a connection on which nothing came, not even the answer to a ping.
	ErrSilent = errors.New("the server is silent")
	// ErrLost ends a connection on which messages were lost, to have the next one bring them.
	ErrLost = errors.New("messages were lost")
	// ErrTooBig ends Run: a message is larger than Options.MaxMessage.
	ErrTooBig = errors.New("a message is too big")
	// ErrNotConnected is what Send returns while there is no connection.
	ErrNotConnected = errors.New("not connected")
	// ErrNotUTF8 ends a connection (RFC 6455 section 8.1).
	ErrNotUTF8 = errors.New("a text message isn't UTF-8")
)

// CloseError is a Close that the server sent (docs/protocol.md section 3).
type CloseError struct {
	Code   websocket.StatusCode
	Reason string
}

func (e *CloseError) Error() string {
	text := fmt.Sprintf("the server closed the connection with %d", e.Code)
	if e.Reason != "" {
		return fmt.Sprintf("%s, %q", text, e.Reason)
	}
	if known, ok := wsproto.LookupClose(ws.StatusCode(e.Code)); ok {
		text += ", " + known.Meaning
	}
	return text
}

// Retry is whether to come back. A code that the server doesn't send comes from something in between, which may be gone
// next time.
func (e *CloseError) Retry() bool {
	known, ok := wsproto.LookupClose(ws.StatusCode(e.Code))
	return !ok || known.Retry
}

// StatusError is an HTTP answer that wasn't the wanted one.
type StatusError struct {
	Status     int
	RetryAfter time.Duration // 0: it doesn't say
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status))
}

// finalError ends Run with the error in it.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// refusal is err when it says that a token is no good, and nil otherwise.
func refusal(err error) error {
	var closed *CloseError
	var status *StatusError
	switch {
	case errors.As(err, &closed) && closed.Code == websocket.StatusPolicyViolation,
		errors.As(err, &status) && (status.Status == http.StatusUnauthorized || status.Status == http.StatusForbidden):
		return err
	}
	return nil
}
