package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestOpenMakesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parent", "data")
	dir, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("mode %v, want drwx------", info.Mode())
	}
	if dir.Database() != filepath.Join(path, "busbar.db") || dir.AdminToken() != filepath.Join(path, "admin-token") {
		t.Errorf("files: %s, %s", dir.Database(), dir.AdminToken())
	}
	if _, err := Open(path); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) != 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const notADirectory = "can't make it: not a directory (a file has that name, or one of its parents'); name another with -data"
	for path, want := range map[string]string{
		"":           `data directory: "" isn't a path; the default is ./busbar-data`,
		file:         fmt.Sprintf("data directory %q: %s", file, notADirectory),
		file + "/in": fmt.Sprintf("data directory %q: %s", file+"/in", notADirectory),
	} {
		if _, err := Open(path); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", path, err, want)
		}
	}
}

func TestOpenWithoutPermission(t *testing.T) {
	// t.TempDir's parent is closed to other users, which would hide what is tested.
	dir, err := os.MkdirTemp("", "busbar-datadir-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	for path, doing := range map[string]string{dir: "write to", filepath.Join(dir, "new"): "make"} {
		err := wstest.Unprivileged(t, func() error { _, err := Open(path); return err })
		want := fmt.Sprintf("data directory %q: can't %s it: permission denied; let user %d write there, or name another with -data",
			path, doing, os.Geteuid())
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestErrorsSayWhatWouldDo(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EROFS:  `data directory "/d": can't write to it: read-only file system; name another with -data`,
		syscall.ENOSPC: `data directory "/d": can't write to it: no space left on device`,
	} {
		err := Unusable("/d", "write to", &fs.PathError{Op: "open", Path: "/d/probe", Err: errno})
		if err.Error() != want || !errors.Is(err, errno) {
			t.Errorf("%v:\n got %v\nwant %s", errno, err, want)
		}
	}
}

func TestLock(t *testing.T) {
	dir, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := dir.Lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = dir.Lock()
	want := fmt.Sprintf("another busbar serves from %q; stop it, or name another directory with -data", string(dir))
	if !errors.Is(err, ErrServing) || err.Error() != want {
		t.Errorf("second server:\n got %v\nwant %s", err, want)
	}
	// Commands beside a server go on working.
	if _, err := Open(string(dir)); err != nil {
		t.Errorf("Open while serving: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := dir.Lock()
	if err != nil {
		t.Fatalf("after the first server ended: %v", err)
	}
	again.Close()
}

func TestLockNamesItsFile(t *testing.T) {
	gone := Dir(filepath.Join(t.TempDir(), "gone"))
	if _, err := gone.Lock(); err == nil || !strings.Contains(err.Error(), string(gone)) {
		t.Errorf("got %v, want an error that names %s", err, string(gone))
	}
}

// Whoever waits for the lock gets it when its holder has ended, and is refused at once, or when its time is up, unless
// the holder drains.
func TestWaitLock(t *testing.T) {
	dir, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := dir.WaitLock(0, func() { t.Error("it waits for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.WaitLock(0, func() { t.Error("it waits") }); !errors.Is(err, ErrServing) {
		t.Errorf("got %v", err)
	}
	waited := 0
	if _, err := dir.WaitLock(2*lockPoll, func() { waited++ }); !errors.Is(err, ErrServing) || waited != 1 {
		t.Errorf("got %v, and was told %d times that it waits", err, waited)
	}
	if err := first.Drain(); err != nil {
		t.Fatal(err)
	}
	second, err := dir.WaitLock(0, func() { first.Close() })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.WaitLock(0, nil); !errors.Is(err, ErrServing) { // the drain was the first one's
		t.Errorf("got %v", err)
	}
	second.Close()
}
