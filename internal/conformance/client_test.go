package conformance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// client is a socket to the server. Reading and writing may be done by two goroutines.
type client struct {
	*wstest.Raw
	queue *receiveQueue // what the server has not read of what this client has sent
}

func connect(t testing.TB, addr string, controls ...func(fd int)) (*client, error) {
	raw, err := wstest.DialRaw(t, "", addr, controls...)
	if err != nil {
		return nil, err
	}
	queue, err := openReceiveQueue(raw.Conn)
	if err != nil {
		raw.Close()
		return nil, err
	}
	return &client{raw, queue}, nil
}

func (c *client) close() {
	c.Close()
	c.queue.close()
}

// write sends the pieces, each when the server has read what came before. A server that has
// closed gets no more; whether it may have closed is seen by what it sent.
func (c *client) write(pieces []string) error {
	for i, piece := range pieces {
		_, err := io.WriteString(c, piece)
		if err == nil && i < len(pieces)-1 {
			err = c.queue.awaitRead()
		}
		if errors.Is(err, errGone) || isReset(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("piece %d of %d: %w", i+1, len(pieces), err)
		}
	}
	return nil
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// key is RFC 6455 1.3's, and accept what it has to be answered with.
const (
	key    = "dGhlIHNhbXBsZSBub25jZQ=="
	accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// upgradeRequest is a whole request with more header lines.
func upgradeRequest(lines ...string) string {
	head := append([]string{"GET / HTTP/1.1", "Host: server.example.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + key, "Sec-WebSocket-Version: 13"}, lines...)
	return strings.Join(head, "\r\n") + "\r\n\r\n"
}

// readUpgrade reads the answer to an upgradeRequest and demands all that RFC 6455 4.2.2 does,
// and that nothing is agreed that wasn't offered.
func (c *client) readUpgrade(extensions string) error {
	answer, err := http.ReadResponse(c.R, nil)
	if err != nil {
		return fmt.Errorf("reading the answer to the upgrade request: %w", err)
	}
	h := answer.Header
	switch {
	case answer.StatusCode != http.StatusSwitchingProtocols || answer.ProtoMinor != 1:
		return fmt.Errorf("the upgrade was answered with %s %s", answer.Proto, answer.Status)
	case !strings.EqualFold(h.Get("Upgrade"), "websocket") || !strings.EqualFold(h.Get("Connection"), "upgrade"):
		return fmt.Errorf("upgraded with Upgrade %q, Connection %q", h.Get("Upgrade"), h.Get("Connection"))
	case h.Get("Sec-WebSocket-Accept") != accept || len(h.Values("Sec-WebSocket-Accept")) != 1:
		return fmt.Errorf("Sec-WebSocket-Accept is %q, want %q", h.Values("Sec-WebSocket-Accept"), accept)
	case h.Get("Sec-WebSocket-Extensions") != extensions:
		return fmt.Errorf("Sec-WebSocket-Extensions is %q, want %q", h.Get("Sec-WebSocket-Extensions"), extensions)
	case h.Get("Sec-WebSocket-Protocol") != "":
		return fmt.Errorf("Sec-WebSocket-Protocol is %q", h.Get("Sec-WebSocket-Protocol"))
	case len(h["Content-Length"])+len(h["Transfer-Encoding"]) > 0: // RFC 9110 8.6, RFC 9112 6.1
		return fmt.Errorf("a body behind 101: %v", h)
	}
	return nil
}

// expect reads frames that have to be these.
func (c *client) expect(want []frame, compression bool) error {
	for i, w := range want {
		got, err := readFrame(c.R, compression)
		if err != nil {
			return fmt.Errorf("waiting for frame %d of %d, %v: %w", i+1, len(want), w, err)
		}
		// Whether to compress a message is the server's choice, where the case doesn't want it.
		if got.op != w.op || got.payload != w.payload || w.compressed && !got.compressed {
			return fmt.Errorf("frame %d of %d is %v, want %v", i+1, len(want), got, w)
		}
	}
	return nil
}

// expectClose reads a Close with the code, and the end of the connection behind it.
func (c *client) expectClose(code int, resets bool) error {
	got, err := readFrame(c.R, false)
	if err != nil {
		return fmt.Errorf("waiting for Close %d: %w", code, err)
	}
	if got.op != opClose || got.code() != code {
		return fmt.Errorf("got %v, want Close %d", got, code)
	}
	switch n, err := io.Copy(io.Discard, c.R); {
	case n > 0: // 5.5.1: nothing follows a Close
		return fmt.Errorf("%d bytes follow the Close", n)
	case err != nil && !(resets && isReset(err)):
		return fmt.Errorf("behind the Close: %w", err)
	}
	return nil
}
