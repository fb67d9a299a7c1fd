package hub

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
)

// docs/protocol.md section 3, 1012: draining tells everyone behind all that they are owed, and refuses
// whoever comes. That no goroutine is left, TestMain checks.
func TestShutdown(t *testing.T) {
	h := start(t, roomy)
	var clients []*listener
	for i := range 20 {
		clients = append(clients, listen(t, h, fmt.Sprintf("user%d", i), ""))
	}
	const events = 300
	for range events {
		mustPublish(t, h, someChange)
	}
	down := make(chan error, 1)
	ctx := within(t)
	go func() { down <- h.Shutdown(ctx) }()
	for _, c := range clients {
		for want := uint64(1); want <= events; want++ {
			if got := nextSeq(t, c); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
		}
		_, err := c.receive()
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != websocket.StatusServiceRestart {
			t.Errorf("ended with %v", err)
		}
		_ = c.CloseNow()
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if !h.Draining() || h.ClientCount() != 0 {
		t.Errorf("draining %v, %d clients", h.Draining(), h.ClientCount())
	}
	if _, _, err := dial(t, h, "late", ""); err == nil {
		t.Error("somebody could connect afterwards")
	}
	select {
	case <-h.Failed():
	case <-time.After(patience):
		t.Error("the loops still run")
	}
}

// A client that won't go is left behind when the context ends, and while the hub drains
// nobody is let in.
func TestShutdownDoesNotWaitForever(t *testing.T) {
	lookups := make(chan asked, 8)
	h := start(t, func(o *Options) { o.Auth, o.AuthTimeout = asking(lookups), patience })
	raw := rawUpgrade(t, h, "mute", "")
	(<-lookups).answer <- &Identity{UserID: "mute"}
	readRaw(t, raw, "\r\n\r\n")
	ctx, cancel := context.WithCancel(context.Background())
	down := make(chan error, 1)
	go func() { down <- h.Shutdown(ctx) }()
	readRaw(t, raw, "reconnect-after=")
	if _, _, err := dial(t, h, "late", ""); err == nil {
		t.Error("somebody could connect while draining")
	}
	cancel()
	if err := <-down; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Once a hub shuts down its clients get no more, and whoever publishes is told.
func TestPublishingWhileShuttingDown(t *testing.T) {
	h := start(t, nil)
	c := listen(t, h, "user", "")
	mustPublish(t, h, someChange)
	down := make(chan error, 1)
	ctx := within(t)
	go func() { down <- h.Shutdown(ctx) }()
	eventually(t, "draining", h.Draining)
	for name, publish := range map[string]func() error{
		"change":   func() error { _, err := h.PublishChange(someChange); return err },
		"presence": func() error { return h.PublishPresence("", []byte(`{}`)) },
		"topic":    func() error { return h.PublishTopic("", "t", []byte(`1`)) },
		"row":      func() error { return h.PublishRow(Snapshot, "", "T", "1", nil) },
		"all":      func() error { return h.BroadcastBinary([]byte("x")) },
		"some":     func() error { return h.SendBinary([]byte("x"), 1) },
	} {
		if err := publish(); !errors.Is(err, ErrShutDown) {
			t.Errorf("%s: got %v, want ErrShutDown", name, err)
		}
	}
	if got := nextSeq(t, c); got != 1 {
		t.Errorf("seq %d, want 1", got)
	}
	if _, err := c.receive(); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("ended with %v", err)
	}
	_ = c.CloseNow()
	if err := <-down; err != nil {
		t.Error(err)
	}
	if seq := h.Stats().LastSeq; seq != 1 {
		t.Errorf("seq %d, want 1: something was published to nobody", seq)
	}
}

// Publishers that outlive the hub are told so, by every call that publishes, and none gets in the end's way.
func TestPublishersOutliveTheHub(t *testing.T) {
	h := start(t, roomy)
	c := listen(t, h, "alice", "")
	calls := map[string]func() error{
		"change":   func() error { _, err := h.PublishChange(someChange); return err },
		"presence": func() error { return h.PublishPresence("", []byte(`{"type":"presence"}`)) },
		"topic":    func() error { return h.PublishTopic("", "chat", []byte(`1`)) },
		"row":      func() error { return h.PublishRow(Snapshot, "", "E", "r", []byte("x")) },
		"binary":   func() error { return h.BroadcastBinary([]byte("x")) },
		"client":   func() error { return h.SendBinary([]byte("x"), 1) },
	}
	started, ended := make(chan struct{}, len(calls)), make(chan error, len(calls))
	for name, publish := range calls {
		go func() {
			err := publish()
			for started <- struct{}{}; err == nil || errors.Is(err, ErrOverloaded); err = publish() {
			}
			if !errors.Is(err, ErrShutDown) {
				err = fmt.Errorf("%s: %w", name, err)
			} else {
				err = nil
			}
			ended <- err
		}()
	}
	for range calls {
		<-started
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the client doesn't read: it is ended
	_ = h.Shutdown(ctx)
	for range calls {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("a publisher goes on")
		}
	}
	_ = c.CloseNow()
}

// A loop that hangs doesn't answer, however long it is waited for; the others' answers don't stand in for its own.
func TestAnswers(t *testing.T) {
	h := start(t, roomy)
	listen(t, h, "alice", "")
	if err := h.Answers(within(t)); err != nil {
		t.Fatal(err)
	}
	hangs, goOn := make(chan struct{}), make(chan struct{})
	hung := make(chan error, 1)
	ctx := within(t)
	go func() {
		hung <- h.engine.Each(ctx, func(*eventloop.Loop) {
			close(hangs)
			<-goOn
		})
	}()
	<-hangs
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := h.Answers(brief); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while a loop hangs: %v", err)
	}
	close(goOn)
	if err := errors.Join(<-hung, h.Answers(within(t))); err != nil {
		t.Error(err)
	}
	if err := h.Shutdown(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := h.Answers(within(t)); !errors.Is(err, eventloop.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}
