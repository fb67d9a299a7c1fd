package proof

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"syscall"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
)

// process is a program that may be started again when it has ended. Owned by one goroutine, but for what it said.
type process struct {
	program []string
	log     string   // the file that it writes its standard error to
	room    *room    // nil: this process's mounts
	network *os.File // nil: this process's

	*exec.Cmd               // of the latest start
	ended     chan struct{} // closed when that has; then ProcessState says how
}

// launch starts the program, and waits for it on the thread that has started it: Pdeathsig, which ends what a killed
// bench leaves behind, goes off when that thread ends (prctl(2)).
func (p *process) launch() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	program := p.room.inside(p.program)
	cmd := exec.Command(program[0], program[1:]...) //nolint:gosec // what the user asked for
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = log
	p.Cmd, p.ended = cmd, make(chan struct{})
	started := make(chan error)
	go func(network *os.File, ended chan struct{}) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		start := cmd.Start
		if network != nil {
			start = func() error { return runner.InNetwork(network, cmd.Start) }
		}
		err := start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}(p.network, p.ended)
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", program[0], err)
	}
	return nil
}

func (p *process) pid() int { return p.Process.Pid }

// end waits until it has ended, and says whether it had to be killed for that.
func (p *process) end(how syscall.Signal) (forced bool) {
	if p == nil || p.Cmd == nil || p.Process == nil {
		return false
	}
	_ = p.Process.Signal(how)
	force := time.AfterFunc(patience, func() { _ = p.Process.Kill() })
	<-p.ended
	return !force.Stop()
}

const saidBytes = 8 << 10

var (
	alarms       = regexp.MustCompile("panic|DATA RACE|fatal error")
	errUnorderly = errors.New("busbar ended otherwise than it should")
)

// said is the end of what it has said, or all from the first alarm on, which is an error.
func (p *process) said() (text string, alarm error) {
	all, err := os.ReadFile(p.log)
	if err != nil || len(all) == 0 {
		return "", err
	}
	from := max(0, len(all)-saidBytes)
	found := alarms.FindIndex(all)
	if found != nil {
		from = min(from, found[0])
	}
	text = "; its log:\n" + string(all[from:])
	if found != nil {
		alarm = fmt.Errorf("%w: it said %q%s", errUnorderly, all[found[0]:found[1]], text)
	}
	return text, alarm
}
