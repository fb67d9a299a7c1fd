package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

// Nobody is there to call remove when a second Ctrl-C comes.
func TestSessionFileIsGoneAfterCtrlC(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var o bench.Options
	remove, err := withSession(ctx, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	file := strings.TrimPrefix(o.Target.Command[len(o.Target.Command)-1], "-sessions=")
	if _, err := os.Stat(file); err != nil || o.Load.Token == "" {
		t.Fatalf("token %q, %v", o.Load.Token, err)
	}
	cancel()
	for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		if _, err := os.Stat(filepath.Dir(file)); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still there", filepath.Dir(file))
		}
	}
}
