//go:build !race && !racedaemon

package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/client"
)

// docs/clients.md: package client misses nothing, whatever ends or hangs at the other side.
func TestGoClient(t *testing.T) {
	t.Parallel()
	d := onOwnAddress(t)
	d.adminCall("PUT", "/v1/rows/Doc/d_1", "milk", nil)
	var mu sync.Mutex
	var seqs, want []uint64
	var ends []error
	rows := 0
	c := client.New(d.url(""), client.Options{
		Token: client.Token(d.session("alice")), Since: new(uint64(client.Latest)),
		Subscribe: []client.Subscription{{Entity: "Doc", RowID: "d_1"}},
		MinDelay:  50 * time.Millisecond, MaxDelay: 200 * time.Millisecond, Quiet: 200 * time.Millisecond, Patience: 300 * time.Millisecond,
		Handle: func(_ context.Context, m client.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if m.Change != nil {
				seqs = append(seqs, m.Change.Seq)
			}
			if m.Row != nil && string(m.Row.Payload) == "milk" {
				rows++
			}
			return nil
		},
		State: func(s client.State) {
			mu.Lock()
			defer mu.Unlock()
			if s.Phase == client.Waiting {
				ends = append(ends, s.Err)
			}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	subscribed := func(n int) {
		t.Helper()
		eventually(t, "the row's snapshot again", func() bool { mu.Lock(); defer mu.Unlock(); return rows >= n })
	}
	lost := func(how string, is func(error) bool) {
		t.Helper()
		eventually(t, how, func() bool { mu.Lock(); defer mu.Unlock(); return slices.ContainsFunc(ends, is) })
	}
	subscribed(1)
	for i, end := range []func(){
		func() { d.crash(); d = d.restart() },
		func() { d.stop(); d = d.restart() },
		func() {
			_ = d.cmd.Process.Signal(syscall.SIGSTOP)
			lost("silence noticed", func(err error) bool { return errors.Is(err, client.ErrSilent) })
			_ = d.cmd.Process.Signal(syscall.SIGCONT)
		},
	} {
		end()
		want = append(want, d.publish("t_1"), d.publish("t_2"))
		subscribed(i + 2)
		eventually(t, "the events", func() bool { mu.Lock(); defer mu.Unlock(); return len(seqs) >= len(want) })
	}
	lost("the drain's Close", func(err error) bool { return strings.Contains(err.Error(), `with 1012, "reconnect-after=`) })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !slices.Equal(seqs, want) {
		t.Errorf("handled %v, want %v", seqs, want)
	}
	if at, ok := c.Cursor(); !ok || at != want[len(want)-1] {
		t.Errorf("the cursor is %d, %t", at, ok)
	}
}
