package auth_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/leaks"
)

// TestMain is two programs: the tests, and the other processes that some of them need.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childMark {
		if err := child(os.Args[2], os.Args[3:]); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	_ = flag.Set("test.parallel", "8") // they wait for conditions more than they work
	before := openFiles()
	ignored := goleak.IgnoreCurrent() // those that packages start when they are loaded
	status := m.Run()
	if status != 0 {
		os.Exit(status)
	}
	if err := leaks.Goroutines(ignored, leaks.IdleWorkers); err != nil {
		fmt.Println(err)
		status = 1
	}
	deadline := time.Now().Add(20 * time.Second) // connections are closed in the background
	left := leaked(before)
	for len(left) > 0 && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond)
		left = leaked(before)
	}
	if len(left) > 0 {
		fmt.Println("descriptors left open:", left)
		status = 1
	}
	os.Exit(status)
}

// openFiles maps descriptors to what they are open on, the runtime's own left out.
func openFiles() map[string]string {
	m := make(map[string]string)
	list, _ := os.ReadDir("/proc/self/fd")
	for _, f := range list {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			m[f.Name()] = to
		}
	}
	return m
}

func leaked(before map[string]string) (left []string) {
	for fd, to := range openFiles() {
		if before[fd] != to {
			left = append(left, to)
		}
	}
	return left
}

const childMark = "child-of-auth-test"

// child is what another process does to a session file.
func child(do string, args []string) error {
	if do == "own" {
		return ownUntilEnd(args[0])
	}
	opts := auth.SessionOptions{ReadOnly: do == "read", Log: quiet}
	s, err := auth.OpenSessions(args[0], opts)
	if err != nil {
		return err
	}
	defer s.Close()
	switch do {
	case "open":
		return nil
	case "create":
		token, _, err := s.Create(context.Background(), args[1], "", 0, "")
		fmt.Print(token)
		return err
	case "revoke":
		return s.Revoke(context.Background(), args[1])
	case "read":
		id, err := s.Authenticate(context.Background(), args[1])
		if err == nil {
			fmt.Print(id.UserID)
		}
		return err
	}
	return fmt.Errorf("unknown task %q", do)
}

// runChild runs another process and returns what it printed.
func runChild(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return output(exec.Command(os.Args[0], append([]string{childMark}, args...)...))
}

// runNobody does so without the rights of root, which no permission bits stop.
func runNobody(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := filepath.Join(openDir(t), "child")
	if err := os.Link(os.Args[0], program); err != nil { // on another file system
		b, err := os.ReadFile(os.Args[0])
		must(t, err)
		must(t, os.WriteFile(program, b, 0o755))
	}
	cmd := exec.Command(program, append([]string{childMark}, args...)...)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return output(cmd)
}

// output leaves standard error out: with -cover the runtime writes there at the end.
func output(cmd *exec.Cmd) (string, error) {
	b, err := cmd.Output()
	return strings.TrimSpace(string(b)), err
}

// openDir is a directory that every user may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "auth-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// oneLine fails unless err is one line that names want.
func oneLine(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if msg := err.Error(); strings.Contains(msg, "\n") || !strings.Contains(msg, want) {
		t.Errorf("error %q: want one line with %q", msg, want)
	}
}
