package runner

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/prometheus/procfs"
)

// Protocols of servers that are measured as they are: a client of theirs publishes.
const (
	Echo       = "echo"       // a message that a client sends goes to all clients
	Centrifugo = "centrifugo" // Centrifugo's JSON protocol, by lines; clients subscribe to the channel bench
)

// CentrifugoJoin makes a connection a subscriber; the answer to it has CentrifugoJoined.
const (
	CentrifugoJoin   = centrifugoConnect + "\n" + `{"id":2,"subscribe":{"channel":"bench"}}`
	CentrifugoJoined = `"id":2,`

	centrifugoConnect = `{"id":1,"connect":{}}`
	centrifugoPublish = `{"id":3,"publish":{"channel":"bench","data":"`
	centrifugoEnd     = `"}}`
)

// awaitClient connects to a server as a client that publishes, as soon as the server listens.
func (s *Server) awaitClient(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	dialer := ws.Dialer{NetDial: (&net.Dialer{KeepAlive: -1}).DialContext}
	for {
		conn, behind, _, err := dialer.Dial(ctx, "ws://"+s.target.Address)
		if err == nil {
			if behind == nil {
				behind = bufio.NewReader(conn)
			}
			s.Control = &Control{conn: conn, reader: behind, protocol: s.target.Protocol, drained: make(chan struct{})}
			go s.Control.drain(s.errors)
			if s.target.Protocol == Centrifugo {
				s.Control.addFrame(ws.OpText, centrifugoConnect, 0)
			}
			return s.Control.Flush()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("connecting to %s: %w", s.target.Address, err)
		}
		if p, err := procfs.NewProc(s.PID()); err == nil {
			if stat, err := p.Stat(); err == nil && stat.State == "Z" {
				return errors.New("it ended before it listened")
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody listens at %s: %w", s.target.Address, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// drain reads what the server sends to the client that publishes, answers pings, and notes complaints.
func (c *Control) drain(said io.Writer) {
	defer close(c.drained)
	both := struct {
		io.Reader
		io.Writer
	}{c.reader, c.conn}
	for {
		message, _, err := wsutil.ReadServerData(both)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
				fmt.Fprintln(said, "the connection that publishes:", err)
			}
			return
		}
		for line := range bytes.Lines(message) {
			switch line = bytes.TrimSpace(line); {
			case c.protocol == Centrifugo && string(line) == "{}":
				_ = wsutil.WriteClientText(c.conn, line)
			case c.protocol == Centrifugo && bytes.Contains(line, []byte(`"error":`)):
				fmt.Fprintf(said, "the connection that publishes: %s\n", line)
			}
		}
	}
}

// addFrame begins a client's frame, of which so many bytes are to follow. A key of zeros is a mask that
// costs nothing.
func (c *Control) addFrame(op ws.OpCode, start string, rest int) {
	var b bytes.Buffer
	_ = ws.WriteHeader(&b, ws.Header{Fin: true, OpCode: op, Masked: true, Length: int64(len(start) + rest)}) // to memory
	c.buffer = append(append(c.buffer, b.Bytes()...), start...)
}

// Text is whether payloads have to be text, so that stamps are written in hexadecimal digits.
func (c *Control) Text() bool { return c.protocol == Centrifugo }

// Probe publishes a text message that isn't one of the bench's numbered ones.
func (c *Control) Probe() error {
	probe := "probe"
	if c.protocol == Centrifugo {
		probe = centrifugoPublish + probe + centrifugoEnd
	}
	c.addFrame(ws.OpText, probe, 0)
	return c.Flush()
}
