package hub

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/wsproto"
)

// Clients that haven't had their turn yet are served, and so are publishers; each client's Close is behind what it is
// owed, and says when to come back.
func TestCloseOver(t *testing.T) {
	h := start(t, func(o *Options) { o.Loops.Loops = 2 })
	const clients, over = 12, 500 * time.Millisecond
	var all []*listener
	for i := range clients {
		all = append(all, listen(t, h, fmt.Sprint("user", i), ""))
	}
	closed := make(chan error, 1)
	go func() { closed <- h.CloseOver(within(t), over) }()
	published := 0
	for ; h.ClientCount() > 0; published++ {
		mustPublish(t, h, someChange)
		time.Sleep(time.Millisecond) // the publisher's pace
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	delays, longest := make(map[time.Duration]bool), 0
	for _, c := range all {
		got := 0
		m, err := c.receive()
		for ; err == nil; m, err = c.receive() {
			if _, notLeave := leavesOf(m.String()); notLeave == nil {
				continue
			}
			if got++; !strings.HasPrefix(m.String(), fmt.Sprintf(`{"seq":%d,`, got)) {
				t.Fatalf("got %v, want change %d", m, got)
			}
		}
		var end websocket.CloseError
		if !errors.As(err, &end) || end.Code != websocket.StatusServiceRestart {
			t.Fatalf("ended with %v", err)
		}
		longest = max(longest, got)
		delay, ok := wsproto.ParseReconnectAfter(end.Reason)
		if delays[delay] = true; !ok || delay < restartTime || delay > restartTime+2*over {
			t.Errorf("told %q", end.Reason)
		}
		_ = c.CloseNow()
	}
	if longest < published/2 || len(delays) < clients/3 {
		t.Errorf("the client that stayed longest got %d of %d; delays are %v", longest, published, delays)
	}
	if err := h.Drain(within(t)); err != nil {
		t.Error(err)
	}
	if _, err := h.PublishChange(someChange); !errors.Is(err, ErrShutDown) {
		t.Errorf("publishing to nobody: %v", err)
	}
}

// Where other nodes are, no client is told to wait for this one's end; else all are.
func TestComeBack(t *testing.T) {
	for range 100 {
		if d := comeBack(false, time.Hour, restartTime); d < 0 || d > restartTime {
			t.Errorf("with other nodes: %v", d)
		}
		if d := comeBack(true, time.Minute, 10*time.Second); d < time.Minute+restartTime || d > time.Minute+restartTime+10*time.Second {
			t.Errorf("alone: %v", d)
		}
	}
}
