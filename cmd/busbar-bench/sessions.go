package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/internal/auth"
)

// withSession makes a SQLite file with one session, has Busbar look tokens up in it, and
// every client bring that session's token. The file is gone after remove, and when ctx ends.
func withSession(ctx context.Context, o *bench.Options) (remove func(), err error) {
	folder, err := os.MkdirTemp("", "busbar-bench")
	if err != nil {
		return nil, fmt.Errorf("making a folder for sessions: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(folder)
		}
	}()
	file := filepath.Join(folder, "sessions.db")
	table, err := auth.OpenSessions(file, auth.SessionOptions{})
	if err != nil {
		return nil, fmt.Errorf("making sessions: %w", err)
	}
	defer table.Close()
	if o.Load.Token, _, err = table.Create(ctx, "bench", "", time.Hour, ""); err != nil {
		return nil, fmt.Errorf("making a session: %w", err)
	}
	o.Target.Command = append(o.Target.Command, "-sessions="+file)
	// A second Ctrl-C ends this process before remove is called.
	stop := context.AfterFunc(ctx, func() { os.RemoveAll(folder) })
	return func() { stop(); os.RemoveAll(folder) }, nil
}
