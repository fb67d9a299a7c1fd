package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

// tailer prints what a server sends, over as many connections as it takes. It belongs
// to one goroutine.
type tailer struct {
	cfg     tailConfig
	token   string
	s       streams
	cursor  cursor
	printed int
}

func newTailer(cfg tailConfig, token string, s streams) *tailer {
	t := &tailer{cfg: cfg, token: token, s: s}
	if cfg.since >= 0 {
		t.cursor = cursor{seq: uint64(cfg.since), known: true}
	}
	return t
}

// How long tail waits before it connects again: doubling from the first to the last.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// retryDelay is the wait before attempt n, from 0, to connect again. A fifth of it is
// left to chance, so that many clients of one server don't come back in step.
func retryDelay(n int, chance float64) time.Duration {
	delay := lastRetry
	if n < 10 {
		delay = min(firstRetry<<n, lastRetry)
	}
	return delay - time.Duration(float64(delay)*0.2*chance)
}

// run connects until it is done. Only a server that answered once is waited for: an
// address that was wrong from the start won't get better.
func (t *tailer) run(ctx context.Context) error {
	attempt, connected := 0, false
	for {
		started := time.Now()
		opened, err := t.connect(ctx)
		connected = connected || opened
		var end *tailEnd
		var final *finalError
		switch {
		case ctx.Err() != nil || t.done():
			return nil
		case errors.As(err, &end) && !end.retry:
			return end.result()
		case errors.As(err, &final):
			return fmt.Errorf("tail: %w", err)
		case t.cfg.once || !connected:
			return lastWord(err)
		}
		// A server that accepts and closes at once, over capacity, say, must see the waits grow.
		if opened && time.Since(started) > lastRetry {
			attempt = 0
		}
		delay := retryDelay(attempt, rand.Float64())
		attempt++
		fmt.Fprintf(t.s.err, "busbar: tail: %v; connecting again in %s\n", err, delay.Round(time.Millisecond))
		if !pause(ctx, delay) {
			return nil
		}
	}
}

func (t *tailer) done() bool { return t.cfg.count > 0 && t.printed >= t.cfg.count }

// pause is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// explainDial says what a failed connect means, and what would do.
func (t *tailer) explainDial(err error) error {
	var status ws.StatusError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s; start a server there, or name its address with -url", t.cfg.url)
	case errors.As(err, &status) && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		// Refused with -reject http, which 1008 stands for otherwise.
		return &tailEnd{code: ws.StatusPolicyViolation, reason: fmt.Sprintf("status %d: the token isn't valid there", int(status))}
	case errors.As(err, &status) && status == http.StatusServiceUnavailable:
		return fmt.Errorf("the server at %s takes no connections now (status 503): it is full, or about to end", t.cfg.url)
	case errors.As(err, &status):
		return fmt.Errorf("connecting to %s: status %d %s instead of an upgrade: is that the WebSocket port?",
			t.cfg.url, int(status), http.StatusText(int(status)))
	}
	return fmt.Errorf("connecting to %s: %w", t.cfg.url, err)
}
