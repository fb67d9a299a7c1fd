package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// waiting is something of the embedder's that is under way for one client, and that the
// test lets answer.
type waiting struct {
	asked, answer chan struct{}
}

func (w *waiting) wait() {
	w.asked <- struct{}{}
	<-w.answer
}

// slowLog waits in Range.
type slowLog struct {
	*MemoryLog
	waiting *waiting
}

func (l *slowLog) Range(ctx context.Context, since uint64, limit int) (Page, error) {
	l.waiting.wait()
	return l.MemoryLog.Range(ctx, since, limit)
}

// underway are the states in which the hub works for a client: what makes the embedder's
// function wait, and what the client sends to get there.
var underway = map[string]struct {
	slow    func(*Options, *waiting)
	request string // the upgrade's path and query
	message string
}{
	"lookup": {slow: func(o *Options, w *waiting) {
		o.Auth = AuthenticatorFunc(func(ctx context.Context, token string) (*Identity, error) {
			if token == "victim" {
				w.wait()
			}
			return namesAre(ctx, token)
		})
	}, request: "/"},
	"reading the change log": {slow: func(o *Options, w *waiting) {
		o.Log = &slowLog{NewMemoryLog(0, 0), w}
	}, request: "/?since=0"},
	"fetching a snapshot": {slow: func(o *Options, w *waiting) {
		o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
			w.wait()
			return []byte("row"), true, nil
		}
	}, request: "/", message: maskedText(`{"type":"crdt-subscribe","entity":"E","rowId":"r"}`)},
}

// leave are the ways to end in the middle of that. None of them is waited for by anybody else.
var leave = map[string]func(*net.TCPConn){
	"FIN":     func(c *net.TCPConn) { _ = c.CloseWrite() },
	"RST":     func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
	"silence": func(*net.TCPConn) {},
}

// A client that goes while the hub works for it leaves nothing behind: not when it goes, and
// not when the answer comes for which nobody is left.
func TestPeersThatLeaveUnderway(t *testing.T) {
	for doing, u := range underway {
		for how, end := range leave {
			t.Run(doing+", "+how, func(t *testing.T) {
				t.Parallel()
				w := &waiting{make(chan struct{}, 10), make(chan struct{})}
				h := start(t, func(o *Options) {
					u.slow(o, w)
					o.AuthTimeout, o.Rows.Timeout = time.Hour, time.Hour
					o.Logger = slog.New(slog.DiscardHandler)
					// Longer than the healthy client takes to be let in, and to answer pings.
					o.Loops.Timeouts.Handshake = 4 * time.Second
					o.Loops.Timeouts.PingInterval, o.Loops.Timeouts.Pong = time.Second, 4*time.Second
				})
				healthy := connect(t, h, "healthy")
				heard := make(chan string, 100)
				go func() {
					defer close(heard)
					for {
						_, b, err := healthy.Read(context.Background())
						if err != nil {
							return
						}
						heard <- string(b)
					}
				}()
				victim := rawRequest(t, h, u.request, "victim", u.message).Conn.(*net.TCPConn)
				<-w.asked
				end(victim)
				eventually(t, "its place is given back", func() bool { return h.Stats().Connections == 1 })
				close(w.answer)
				nothingUnderway(t, h)
				if err := h.PublishPresence("", []byte(`{"on":1}`)); err != nil {
					t.Fatal(err)
				}
				for got := range heard {
					if got == `{"on":1}` {
						break
					}
					if !strings.Contains(got, `"disconnect"`) {
						t.Errorf("the healthy client got %s", got)
					}
				}
			})
		}
	}
}

// nothingUnderway waits until the queues are idle, and looks at what is left then.
func nothingUnderway(t *testing.T, h *Hub) {
	t.Helper()
	eventually(t, "the queues are idle", h.queues.idle)
	if err := h.engine.Each(within(t), func(*eventloop.Loop) {}); err != nil && !errors.Is(err, eventloop.ErrStopped) {
		t.Fatal(err) // behind it the answer has been dealt with
	}
	if s := h.Stats(); s.Clients != 1 || s.Connections != 1 || s.Subscriptions != 0 || s.Panics != 0 || s.Lagging != 0 {
		t.Errorf("%d clients, %d connections, %d subscriptions, %d panics, %d lag", s.Clients, s.Connections, s.Subscriptions, s.Panics, s.Lagging)
	}
}
