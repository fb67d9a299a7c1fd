package auth

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// A lookup goes on while somebody waits for it, and ends with the last who does.
func TestLookupsEndWithTheLastCaller(t *testing.T) {
	f := newFlights(time.Hour, slog.New(slog.DiscardHandler))
	defer f.close()
	ended := make(chan struct{})
	ask := func(ctx context.Context) (*hub.Identity, error) {
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}
	gone := make(chan error)
	var leave []context.CancelFunc
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		leave = append(leave, cancel)
		go func() { _, err := f.do(ctx, "tok", ask); gone <- err }()
	}
	passengers := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		if one := f.byToken["tok"]; one != nil {
			return one.passengers
		}
		return 0
	}
	wstest.Eventually(t, "all wait", func() bool { return passengers() == 3 })
	for i, cancel := range leave {
		select {
		case <-ended:
			t.Fatalf("it ended with %d of 3 gone", i)
		default:
		}
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	<-ended
	if n := passengers(); n != 0 {
		t.Errorf("%d wait", n)
	}
}
