package proof

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// peer is a client made of a socket. One goroutine of its own reads; the other methods are
// for the one that lives its life.
type peer struct {
	conn *net.TCPConn
	stop func() bool // keeps the context from closing the connection

	gate    sync.Mutex // held while it is stalled
	stalled bool
	ended   chan struct{} // closed when nothing is read any more

	mu      sync.Mutex
	account *account
	pongs   uint64
	moved   chan struct{} // closed when something has come
	code    ws.StatusCode // of the server's Close, 0 without
	reason  string
	err     error // why reading ended
	fault   error // the first wrong
	writing sync.Mutex
}

// caller is who connects, and from where.
type caller struct {
	address string // of the server
	local   net.IP // nil: any
	user    string
	token   string
	since   uint64        // 0: without
	buffer  int           // SO_RCVBUF; 0: the kernel's
	network *os.File      // nil: this process's
	within  time.Duration // 0: for longer than a server is stopped
}

const (
	// patience bounds what has to happen soon, on a machine that is full of load as well.
	patience = 30 * time.Second
	maxFrame = 16 << 20
)

var errRefused = errors.New("connecting")

// connect is over when the server has answered the upgrade.
func connect(ctx context.Context, c caller, b *Book) (*peer, error) {
	conn, r, err := dialClient(ctx, c)
	if err != nil {
		return nil, err
	}
	p := &peer{conn: conn, account: newAccount(b, c.user), ended: make(chan struct{}), moved: make(chan struct{})}
	p.account.seq, p.account.since = c.since, c.since > 0
	p.stop = context.AfterFunc(ctx, func() { conn.Close() })
	go p.read(r)
	return p, nil
}

func dialClient(ctx context.Context, c caller) (*net.TCPConn, *bufio.Reader, error) {
	d := ws.Dialer{
		Timeout: cmp.Or(c.within, 3*patience), // the server may be stopped for one
		Header:  ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + c.token}}),
		NetDial: func(ctx context.Context, _, address string) (net.Conn, error) {
			var n net.Dialer
			if c.local != nil {
				n.LocalAddr = &net.TCPAddr{IP: c.local}
			}
			conn, err := dialIn(ctx, c.network, &n, address)
			if err == nil && c.buffer > 0 {
				err = conn.(*net.TCPConn).SetReadBuffer(c.buffer)
			}
			return conn, err
		},
	}
	url := "ws://" + c.address + "/"
	if c.since > 0 {
		url += fmt.Sprintf("?since=%d", c.since)
	}
	conn, r, _, err := d.Dial(ctx, url)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	if r == nil {
		r = bufio.NewReaderSize(conn, 4<<10)
	}
	return conn.(*net.TCPConn), r, nil
}

// buffers are shared: a thousand clients that keep one of 1 MiB each would be a lot.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func (p *peer) read(r *bufio.Reader) {
	defer close(p.ended)
	for {
		p.gate.Lock()
		//lint:ignore SA2001 it waits as long as the client is stalled
		p.gate.Unlock()
		h, err := ws.ReadHeader(r)
		if err == nil && h.Length > maxFrame {
			err = fmt.Errorf("a frame of %d bytes", h.Length)
		}
		if err == nil {
			b := buffers.Get().(*[]byte)
			if int64(cap(*b)) < h.Length {
				*b = make([]byte, h.Length)
			}
			payload := (*b)[:h.Length]
			if _, err = io.ReadFull(r, payload); err == nil {
				err = p.got(h, payload)
			}
			buffers.Put(b)
		}
		if err != nil {
			p.over(err)
			return
		}
	}
}

func (p *peer) over(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	if errors.Is(err, errWronged) {
		p.fault = err
		p.conn.Close()
	}
}

func (p *peer) got(h ws.Header, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.moved)
	p.moved = make(chan struct{})
	switch h.OpCode {
	case ws.OpText:
		return p.account.text(payload)
	case ws.OpBinary:
		return p.account.binary(payload)
	case ws.OpPing:
		go func(b []byte) { _ = p.write(ws.OpPong, b) }(append([]byte(nil), payload...))
		return nil
	case ws.OpPong:
		p.pongs++
		return nil
	case ws.OpClose:
		if len(payload) >= 2 {
			p.code, p.reason = ws.ParseCloseFrameData(payload)
		}
		return nil
	}
	return wronged("a frame with opcode %d", h.OpCode)
}

func (p *peer) write(op ws.OpCode, payload []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience))
	return p.failed(ws.WriteFrame(p.conn, ws.MaskFrame(ws.NewFrame(op, true, append([]byte(nil), payload...)))))
}

// failed says why a write did: what was read last tells more.
func (p *peer) failed(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-p.ended:
		return p.whyEnded()
	case <-time.After(patience):
		return fmt.Errorf("%w: %w", errEnded, err)
	}
}

func (p *peer) say(format string, args ...any) error {
	return p.write(ws.OpText, fmt.Appendf(nil, format, args...))
}

// stall stops reading; resume goes on.
func (p *peer) stall() {
	p.gate.Lock()
	p.stalled = true
}

func (p *peer) resume() {
	if p.stalled {
		p.stalled = false
		p.gate.Unlock()
	}
}

// awaitEnd waits until the server has ended the connection.
func (p *peer) awaitEnd(within time.Duration) error {
	select {
	case <-p.ended:
		return nil
	case <-time.After(within):
		return wronged("the connection hasn't ended within %v", within)
	}
}

// gone lets go of the socket, with RST when it is still open, and waits for the reader.
func (p *peer) gone() {
	p.resume()
	_ = p.conn.SetLinger(0)
	_ = p.conn.Close()
	p.stop()
	<-p.ended
}
