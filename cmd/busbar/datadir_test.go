package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestOpenDataDirMakesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parent", "data")
	dir, err := openDataDir(path)
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
	if dir.database() != filepath.Join(path, "busbar.db") || dir.adminToken() != filepath.Join(path, "admin-token") {
		t.Errorf("files: %s, %s", dir.database(), dir.adminToken())
	}
	if _, err := openDataDir(path); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) != 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}

func TestOpenDataDirRefuses(t *testing.T) {
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
		if _, err := openDataDir(path); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", path, err, want)
		}
	}
}

func TestOpenDataDirWithoutPermission(t *testing.T) {
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
		err := unprivileged(t, func() error { _, err := openDataDir(path); return err })
		want := fmt.Sprintf("data directory %q: can't %s it: permission denied; let user %d write there, or name another with -data",
			path, doing, os.Geteuid())
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// unprivileged calls f on a thread that owns nothing and may override no permission
// bits, also when the tests are run by root (setfsuid(2)).
func unprivileged(t *testing.T, f func() error) error {
	t.Helper()
	if os.Geteuid() != 0 {
		return f()
	}
	const nobody = 65534
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		result <- f()
	}()
	return <-result
}

func TestDataDirErrorSaysWhatWouldDo(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EROFS:  `data directory "/d": can't write to it: read-only file system; name another with -data`,
		syscall.ENOSPC: `data directory "/d": can't write to it: no space left on device`,
	} {
		err := dataDirError("/d", "write to", &fs.PathError{Op: "open", Path: "/d/probe", Err: errno})
		if err.Error() != want || !errors.Is(err, errno) {
			t.Errorf("%v:\n got %v\nwant %s", errno, err, want)
		}
	}
}

func TestLockForServing(t *testing.T) {
	dir, err := openDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := dir.lockForServing()
	if err != nil {
		t.Fatal(err)
	}
	_, err = dir.lockForServing()
	want := fmt.Sprintf("another busbar serves from %q; stop it, or name another directory with -data", dir.path)
	if !errors.Is(err, errServing) || err.Error() != want {
		t.Errorf("second server:\n got %v\nwant %s", err, want)
	}
	// Commands beside a server go on working.
	if _, err := openDataDir(dir.path); err != nil {
		t.Errorf("openDataDir while serving: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := dir.lockForServing()
	if err != nil {
		t.Fatalf("after the first server ended: %v", err)
	}
	again.Close()
}

func TestLockForServingNamesItsFile(t *testing.T) {
	gone := dataDir{filepath.Join(t.TempDir(), "gone")}
	if _, err := gone.lockForServing(); err == nil || !strings.Contains(err.Error(), gone.path) {
		t.Errorf("got %v, want an error that names %s", err, gone.path)
	}
}
