package eventloop

import (
	"fmt"

	"github.com/gobwas/ws"
)

// wsClose is a client's Close frame.
func wsClose(code ws.StatusCode) string {
	return clientFrame(ws.OpClose, string(ws.NewCloseFrameBody(code, "")))
}

// text is a text frame.
func text(format string, args ...any) *Frame {
	return NewFrame(ws.OpText, fmt.Appendf(nil, format, args...))
}

// numbered is a text frame that begins with a number and has size bytes of payload.
func numbered(n, size int) *Frame {
	payload := fmt.Appendf(nil, "%08d ", n)
	for len(payload) < size {
		payload = append(payload, 'z')
	}
	return NewFrame(ws.OpText, payload)
}

// number reads back what numbered wrote.
func number(payload []byte) (n int) {
	if _, err := fmt.Sscanf(string(payload[:min(len(payload), 9)]), "%d", &n); err != nil {
		return -1
	}
	return n
}

func brief(s string) string { return s[:min(len(s), 60)] }
