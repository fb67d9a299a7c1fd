package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

func openTestSeqLog(t *testing.T, dir string) *seqLog {
	t.Helper()
	l, err := openSeqLog(dataDir{dir}, hub.NewMemoryLog(10, 1<<20), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func appendOne(t *testing.T, l *seqLog) uint64 {
	t.Helper()
	e, err := l.Append(hub.Event{Entity: "E", RowID: "r", Kind: hub.Insert, Timestamp: "1Z"}, hub.Audience{})
	if err != nil {
		t.Fatal(err)
	}
	return e.Seq
}

// docs/protocol.md section 3: seq rises by one per event, over an orderly restart too; and a cursor that
// has missed what the old process held is told to resync (docs/protocol.md section 5).
func TestSeqGoesOnAfterOrderlyEnd(t *testing.T) {
	dir := t.TempDir()
	l := openTestSeqLog(t, dir)
	for want := uint64(1); want <= 3; want++ {
		if got := appendOne(t, l); got != want {
			t.Fatalf("seq %d, want %d", got, want)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openTestSeqLog(t, dir)
	if got := appendOne(t, l); got != 4 {
		t.Fatalf("seq %d after a restart, want 4", got)
	}
	var resync *hub.ResyncError
	if _, err := l.Range(context.Background(), 2, 10); !errors.As(err, &resync) || resync.OldestSeq != 4 {
		t.Fatalf("cursor 2 after a restart: %v, want to resync from 4", err)
	}
	if page, err := l.Range(context.Background(), 3, 10); err != nil || len(page.Entries) != 1 {
		t.Fatalf("cursor 3 has missed nothing of the old process: %v, %v", page, err)
	}
}

// After a crash no number is given out twice.
func TestSeqIsNeverReusedAfterCrash(t *testing.T) {
	dir := t.TempDir()
	l := openTestSeqLog(t, dir)
	var last uint64
	for range seqBlock + 5 {
		last = appendOne(t, l)
	}
	// The process is gone without Close.
	if got := appendOne(t, openTestSeqLog(t, dir)); got <= last || got > last+seqBlock+1 {
		t.Fatalf("seq %d after a crash at %d", got, last)
	}
}

func TestSeqFileThatHoldsNoNumber(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "last-seq"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openSeqLog(dataDir{dir}, hub.NewMemoryLog(10, 1<<20), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "last-seq holds no number") {
		t.Fatal(err)
	}
}

// Events go on when the directory has gone.
func TestSeqWithoutDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l := openTestSeqLog(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for want := uint64(1); want <= seqBlock+1; want++ { // the last of them isn't reserved
		if got := appendOne(t, l); got != want || l.failing != (want > seqBlock) {
			t.Fatalf("seq %d, want %d; failing %v", got, want, l.failing)
		}
	}
}

// What is written where no room is for another file is read as the number that it is, whatever
// stood there before.
func TestSeqFileOverwritten(t *testing.T) {
	dir := t.TempDir()
	l := openTestSeqLog(t, dir)
	appendOne(t, l)
	for _, n := range []uint64{20_000, 1 << 52, 30_000} {
		if err := l.overwrite(n); err != nil {
			t.Fatal(err)
		}
		if got := openTestSeqLog(t, dir).Last(); got != n {
			t.Errorf("goes on behind %d, want %d", got, n)
		}
	}
}
