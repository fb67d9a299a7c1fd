package proof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a program that runs. Safe from any goroutine.
type process struct {
	*exec.Cmd
	ended chan struct{} // closed when it has; then ProcessState says how
}

// run starts a program, and waits for it on the thread that has started it: Pdeathsig, which ends what a killed bench
// leaves behind, goes off when that thread ends (prctl(2)).
func run(program []string, cmd *exec.Cmd) (*process, error) {
	cmd.Path, cmd.Args = program[0], program
	if path, err := exec.LookPath(program[0]); err == nil {
		cmd.Path = path
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd, make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(p.ended)
	}()
	return p, <-started
}

func (p *process) pid() int { return p.Process.Pid }

// end waits until it has ended, and says whether it had to be killed for that.
func (p *process) end(how syscall.Signal) (forced bool) {
	_ = p.Process.Signal(how)
	force := time.AfterFunc(patience, func() { _ = p.Process.Kill() })
	<-p.ended
	return !force.Stop()
}

// tail keeps the end of what a process says. Safe from any goroutine.
type tail struct {
	mu    sync.Mutex
	text  []byte
	alarm string
}

const tailBytes = 8 << 10

var (
	alarms       = []string{"panic", "DATA RACE", "fatal error"}
	errUnorderly = errors.New("busbar ended otherwise than it should")
)

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range alarms {
		if t.alarm == "" && bytes.Contains(p, []byte(a)) {
			t.alarm = a
		}
	}
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 && t.alarm == "" {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) == 0 {
		return ""
	}
	return "; its log:\n" + string(t.text)
}

func (t *tail) alarming() error {
	t.mu.Lock()
	alarm := t.alarm
	t.mu.Unlock()
	if alarm == "" {
		return nil
	}
	return fmt.Errorf("%w: it said %q%s", errUnorderly, alarm, t)
}
