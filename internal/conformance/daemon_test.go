package conformance

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// built is the directory with the daemon, as users run it.
var built string

// daemon is a running busbar -echo.
type daemon struct {
	cmd    *exec.Cmd
	addr   string
	out    *output
	exited chan struct{} // closed when it has ended
}

// startDaemon starts one on a free port, and stops it when the test is over.
func startDaemon(t testing.TB, args ...string) *daemon {
	t.Helper()
	d, err := launch(args)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func launch(args []string) (*daemon, error) {
	d := &daemon{out: newOutput(), exited: make(chan struct{})}
	args = append([]string{"-echo", "-listen", "127.0.0.1:0", "-loops", "2", "-max-per-ip", "0", "-drain", "5s"}, args...)
	d.cmd = exec.Command(filepath.Join(built, "busbar"), args...)
	d.cmd.Env = []string{"PATH=" + built, wstest.RaceOptions}
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting busbar: %w", err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	if err := d.readAnnouncement(); err != nil {
		_ = d.cmd.Process.Kill()
		<-d.exited
		return nil, fmt.Errorf("busbar %q: %w\n%s", args, err, d.out)
	}
	return d, nil
}

var announced = regexp.MustCompile(`WebSocket +ws://(\S+)[^\n]*\n(?s:.*)Point the suite`)

func (d *daemon) readAnnouncement() error {
	deadline := time.After(wstest.Patience)
	for {
		grown := d.out.changed()
		if found := announced.FindStringSubmatch(d.out.String()); found != nil {
			d.addr = found[1]
			return nil
		}
		select {
		case <-grown:
		case <-d.exited:
			return fmt.Errorf("it ended: %v", d.cmd.ProcessState)
		case <-deadline:
			return fmt.Errorf("no announcement within %v", wstest.Patience)
		}
	}
}

// stop asks it to end, and says what it did wrong in all its life.
func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(wstest.Patience):
		_ = d.cmd.Process.Kill()
		<-d.exited
		return fmt.Errorf("busbar didn't end within %v\n%s", wstest.Patience, d.out)
	}
	text := d.out.String()
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("exit code %d after SIGTERM\n%s", code, text)
	}
	for _, trouble := range []string{"DATA RACE", "panic", "goroutine ", "level=ERROR"} {
		if strings.Contains(text, trouble) {
			return fmt.Errorf("busbar printed %q\n%s", trouble, text)
		}
	}
	return nil
}

// output is what a child prints. Safe from any goroutine.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{} // closed with the next write
}

func newOutput() *output { return &output{grew: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grew)
	o.grew = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.grew
}
