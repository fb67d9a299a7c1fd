package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
)

// message is one that a client has got.
type received struct {
	kind websocket.MessageType
	data []byte
}

func (m received) String() string {
	if m.kind == websocket.MessageText {
		return string(m.data)
	}
	if f, err := ParseRowFrame(m.data); err == nil {
		return fmt.Sprintf("%s %s/%s %q", map[RowKind]string{Snapshot: "snapshot", Incremental: "update"}[f.Kind], f.Entity, f.RowID, f.Payload)
	}
	return fmt.Sprintf("binary %q", m.data)
}

// listener is a client that reads all the time, so that it can be pinged, and keeps what
// it has read until the test asks for it. Its methods belong to one goroutine.
type listener struct {
	*client
	inbox chan received // closed when reading has ended
	err   error         // why, once inbox is closed
	gate  chan struct{} // full: nothing is read
}

// inboxSize is more than any test leaves unread.
const inboxSize = 1 << 15

func listen(t testing.TB, h *Hub, token, query string) *listener {
	t.Helper()
	return listenOn(t, connectQuery(t, h, token, query))
}

func listenOn(t testing.TB, c *client) *listener {
	l := &listener{client: c, inbox: make(chan received, inboxSize), gate: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(l.inbox)
		for l.err = l.readOne(ctx); l.err == nil; {
			l.err = l.readOne(ctx)
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = c.CloseNow()
		for range l.inbox {
		}
	})
	return l
}

func (l *listener) readOne(ctx context.Context) error {
	select {
	case l.gate <- struct{}{}:
		<-l.gate
	case <-ctx.Done():
		return ctx.Err()
	}
	kind, data, err := l.Read(ctx)
	if err != nil {
		return err
	}
	select {
	case l.inbox <- received{kind, data}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// receive is the next message; an error when there is none in time, or reading has ended.
func (l *listener) receive() (received, error) {
	select {
	case m, ok := <-l.inbox:
		if !ok {
			return received{}, fmt.Errorf("the connection has ended: %w", l.err)
		}
		return m, nil
	case <-time.After(patience):
		return received{}, errors.New("nothing came")
	}
}

func (l *listener) next() received {
	l.T.Helper()
	m, err := l.receive()
	if err != nil {
		l.T.Fatal(err)
	}
	return m
}

// gets fails unless the next message reads so.
func (l *listener) gets(want string) {
	l.T.Helper()
	if got := l.next().String(); got != want {
		l.T.Fatalf("got %s, want %s", got, want)
	}
}

// ended reads to the end and returns the close code and reason.
func (l *listener) ended() (websocket.StatusCode, string) {
	l.T.Helper()
	for {
		_, err := l.receive()
		if err == nil {
			continue
		}
		var closed websocket.CloseError
		if !errors.As(err, &closed) {
			l.T.Fatalf("ended without Close: %v", err)
		}
		return closed.Code, closed.Reason
	}
}

// settle waits until the hub has acted on all that was sent, as far as that takes no
// worker: it acts on messages in their order, and answers a ping behind them.
func (l *listener) settle() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return l.Ping(ctx)
}

func (l *listener) sendAndSettle(text string) {
	l.T.Helper()
	l.Send(text)
	if err := l.settle(); err != nil {
		l.T.Fatalf("ping after %s: %v", text, err)
	}
}

// handled waits until the loops have handled all that was published before. Without it
// what a client sends may be acted on first: they are two sources, without an order.
func handled(t testing.TB, h *Hub) {
	t.Helper()
	if err := h.engine.Each(within(t), func(*eventloop.Loop) {}); err != nil {
		t.Fatal(err)
	}
}

// nothingMore fails when anything comes before a message that is published now.
func nothingMore(t testing.TB, h *Hub, listeners ...*listener) {
	t.Helper()
	if err := h.BroadcastBinary([]byte("that is all")); err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		l.gets(`binary "that is all"`)
	}
}

// sameJSON compares by value: the order of keys and space don't matter, the digits of
// numbers do.
func sameJSON(a, b string) bool {
	x, errX := decodeJSON(a)
	y, errY := decodeJSON(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func decodeJSON(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}
