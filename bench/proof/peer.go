package proof

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// peer is a client's connection. One goroutine of its own reads; the other methods are for the one that lives its life.
type peer struct {
	at   *node
	conn *websocket.Conn
	tcp  *net.TCPConn
	stop func() bool // keeps the context from closing the connection

	gate    sync.Mutex // held while it is stalled
	stalled bool
	ended   chan struct{} // closed when nothing is read any more

	within time.Duration // in which the server answers

	mu      sync.Mutex
	account *account
	err     error // why reading ended
}

// caller is who connects, and how.
type caller struct {
	user, token string
	since       uint64        // 0: without
	buffer      int           // SO_RCVBUF; 0: the kernel's
	within      time.Duration // 0: for longer than a server is stopped
}

const (
	// patience bounds what has to happen soon, on a machine that is full of load as well.
	patience   = 30 * time.Second
	maxMessage = 16 << 20
)

var errEnded = errors.New("the connection has ended")

// connect is over when the server has answered the upgrade.
func (n *node) connect(ctx context.Context, c caller, b *Book) (*peer, error) {
	var tcp *net.TCPConn
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		conn, err := dialIn(ctx, n.network, address)
		if err != nil {
			return nil, err
		}
		if tcp = conn.(*net.TCPConn); c.buffer > 0 {
			err = tcp.SetReadBuffer(c.buffer)
		}
		return tcp, err
	}
	url := "ws://" + n.ws + "/"
	if c.since > 0 {
		url += fmt.Sprintf("?since=%d", c.since)
	}
	dialing, cancel := context.WithTimeout(ctx, cmp.Or(c.within, 3*patience)) // the server may be stopped for one
	defer cancel()
	conn, _, err := websocket.Dial(dialing, url, &websocket.DialOptions{ //nolint:bodyclose // it has none that stays open
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
		HTTPHeader: http.Header{"Authorization": {"Bearer " + c.token}},
	})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	conn.SetReadLimit(maxMessage)
	p := &peer{at: n, conn: conn, tcp: tcp, account: newAccount(b, c.user), ended: make(chan struct{}), within: cmp.Or(c.within, patience)}
	p.account.seq, p.account.since = c.since, c.since > 0
	p.stop = context.AfterFunc(ctx, func() { tcp.Close() })
	go p.read()
	return p, nil
}

// buffers are shared: a thousand clients that keep one of 1 MiB each would be a lot.
// They have room for the largest message from the start: growing one copies it five times.
var buffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 1100<<10)) }}

func (p *peer) read() {
	defer close(p.ended)
	for {
		p.gate.Lock()
		//lint:ignore SA2001 it waits as long as the client is stalled
		p.gate.Unlock()
		kind, message, err := p.conn.Reader(context.Background())
		if err == nil {
			b := buffers.Get().(*bytes.Buffer)
			b.Reset()
			if _, err = b.ReadFrom(message); err == nil {
				err = p.got(kind, b.Bytes())
			}
			buffers.Put(b)
		}
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			_ = p.conn.CloseNow()
			return
		}
	}
}

func (p *peer) got(kind websocket.MessageType, message []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kind == websocket.MessageText {
		return p.account.text(message)
	}
	return p.account.binary(message)
}

func (p *peer) say(format string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.failed(p.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)))
}

// failed says why sending did: what was read last tells more.
func (p *peer) failed(err error) error {
	if err == nil {
		return nil
	}
	if late := p.awaitEnd(patience); late != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	return p.whyEnded()
}

// settle waits until the server has acted on all that was sent.
func (p *peer) settle() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.within)
	defer cancel()
	if err := p.conn.Ping(ctx); ctx.Err() != nil {
		return fmt.Errorf("waiting for a pong: %w", errLate)
	} else if err != nil {
		return p.failed(err)
	}
	p.with((*account).settled)
	return nil
}

func (p *peer) with(f func(*account)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p.account)
}

// until waits for a condition, which is looked at under the lock.
func (p *peer) until(ok func(*account) bool) error {
	return poll(context.Background(), patience, 10*time.Millisecond, func() (good bool, err error) {
		ended := false
		select {
		case <-p.ended:
			ended = true
		default:
		}
		if p.with(func(a *account) { good = ok(a) }); ended && !good {
			err = p.whyEnded()
		}
		return good, err
	})
}

// catchUp waits until it has all that the server has taken so far.
func (p *peer) catchUp() error {
	var owed map[*stream]uint64
	p.with(func(a *account) { owed = a.owed() })
	lacks := ""
	err := p.until(func(a *account) bool {
		name, behind := a.behind(owed)
		lacks = name
		return !behind
	})
	if errors.Is(err, errLate) {
		return wronged("waiting for what it lacks, %s: %w", lacks, err)
	}
	return err
}

// subscribe asks for streams, and is over when the server has acted on that. It asks once: a row's snapshot would come
// again, somewhere among the row's updates.
func (p *peer) subscribe(wanted ...*stream) error {
	for _, s := range wanted {
		fresh := false
		p.with(func(a *account) { fresh = a.subscribe(s) })
		if !fresh {
			continue
		}
		if err := p.say("%s", subscription(s, "")); err != nil {
			return err
		}
	}
	return p.settle()
}

func (p *peer) unsubscribe(s *stream) error {
	err := p.say("%s", subscription(s, "un"))
	if err == nil {
		err = p.settle()
	}
	if err == nil {
		p.with(func(a *account) { a.unsubscribed(s) })
	}
	return err
}

// relay has a client send a message to all, and waits for it to come back.
func (p *peer) relay(r *stream, size int) error {
	n := r.begin(1)
	err := p.say(`{"type":"presence",%s}`, jsonNote(r.name, n, size))
	if err == nil {
		err = p.until(func(a *account) bool { return a.places[r].next > n })
	}
	r.finish(n, 1, err)
	if errors.Is(err, errLate) {
		err = wronged("its own relay %d didn't come back: %w", n, err)
	}
	return err
}

// rowEntity is the entity of all rows.
const rowEntity = "Row"

func subscription(s *stream, un string) string {
	switch s.kind {
	case rows:
		return fmt.Sprintf(`{"type":"crdt-%ssubscribe","entity":%q,"rowId":%q}`, un, rowEntity, s.name)
	case changes:
		return fmt.Sprintf(`{"type":"%ssubscribe","entity":%q}`, un, s.name)
	}
	return fmt.Sprintf(`{"type":"%ssubscribe","topic":%q}`, un, s.name)
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

func (p *peer) whyEnded() error {
	if err := p.fault(); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errEnded, p.err)
}

// fault is how the client was wronged, once the connection has ended.
func (p *peer) fault() error {
	<-p.ended
	if errors.Is(p.err, errWronged) {
		return p.err
	}
	return nil
}

// closedWith wants the server's Close with a code.
func (p *peer) closedWith(code websocket.StatusCode) error {
	if err := p.awaitEnd(patience); err != nil {
		return err
	}
	if got := websocket.CloseStatus(p.err); got != code {
		return wronged("a Close %d was due: %w", code, p.whyEnded())
	}
	return nil
}

func (p *peer) leaveClean() error {
	_, _ = p.tcp.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 1000 >> 8, 1000 & 255}) // Conn.Close would read the answer itself
	return p.closedWith(websocket.StatusNormalClosure)
}

// leaveHalf sends FIN, perhaps in the middle of a frame. The server has to end its side too.
func (p *peer) leaveHalf(last []byte) error {
	_, _ = p.tcp.Write(last)
	return errors.Join(p.tcp.CloseWrite(), p.awaitEnd(patience))
}

// gone lets go of the socket, with RST when it is still open, and waits for the reader.
func (p *peer) gone() {
	p.resume()
	_ = p.tcp.SetLinger(0)
	_ = p.tcp.Close()
	p.stop()
	<-p.ended
}
