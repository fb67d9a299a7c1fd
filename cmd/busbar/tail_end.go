package main

import (
	"errors"
	"fmt"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

// tailEnd is a connection that the server ended in a way that says why.
type tailEnd struct {
	code   ws.StatusCode
	reason string
	retry  bool // whether to come back
}

// newTailEnd reads the code in the table of those that the server sends. A code that
// isn't in it comes from something in between, which may be gone next time.
func newTailEnd(code ws.StatusCode, reason string) *tailEnd {
	known, ok := wsproto.LookupClose(code)
	return &tailEnd{code: code, reason: reason, retry: !ok || known.Retry}
}

func (e *tailEnd) Error() string {
	text := fmt.Sprintf("the server closed the connection with %d", e.code)
	if e.reason != "" {
		return fmt.Sprintf("%s, %q", text, e.reason)
	}
	if known, ok := wsproto.LookupClose(e.code); ok {
		text += ", " + known.Meaning
	}
	return text
}

// result is what a connection that isn't opened again means for the exit code.
func (e *tailEnd) result() error {
	if e.code == ws.StatusNormalClosure {
		return nil
	}
	return fmt.Errorf("tail: %w", e)
}

// lastWord is run's result when it won't connect again although it might: a server that
// drains has done nothing wrong.
func lastWord(err error) error {
	var end *tailEnd
	if errors.As(err, &end) && end.code == ws.StatusGoingAway {
		return nil
	}
	return fmt.Errorf("tail: %w", err)
}
