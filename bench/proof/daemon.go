package proof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemon is a server's process. Owned by one goroutine, but for what says otherwise.
type daemon struct {
	program []string // and arguments that come before all others
	dir     string   // the data directory, as this process sees it
	ws, api string   // host:port
	args    []string
	mounts  bool     // it has mounts of its own, the data directory's among them
	network *os.File // that it is in; nil: this process's
	shared  bool     // its log is on NATS, and may be busy, which pulls are told

	cmd    *exec.Cmd
	log    *tail // safe from any goroutine
	exited chan struct{}
	http   *http.Client
	admin  string
}

// newDaemon finds ports and doesn't start anything.
func newDaemon(program []string, dir string, args ...string) (*daemon, error) {
	d := &daemon{program: program, dir: dir, args: args, log: &tail{}}
	free, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	d.ws, d.api = free[0], free[1]
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		return dialIn(ctx, d.network, &net.Dialer{}, address)
	}
	d.http = &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}, Timeout: 2 * time.Minute}
	return d, nil
}

// start is over when the server is ready.
func (d *daemon) start(ctx context.Context) error {
	if err := d.launch(); err != nil {
		return err
	}
	if err := d.awaitReady(ctx); err != nil {
		d.kill()
		return err
	}
	token, err := os.ReadFile(d.path("admin-token"))
	if err != nil {
		d.kill()
		return fmt.Errorf("starting busbar: %w", err)
	}
	if d.admin == "" { // a new start doesn't make another one, and callers read it
		d.admin = strings.TrimSpace(string(token))
	}
	return nil
}

// path is a file in the data directory, from this process's point of view.
func (d *daemon) path(name string) string {
	if d.mounts { // proc(5): root is seen as the process sees it
		return filepath.Join("/proc", strconv.Itoa(d.pid()), "root", d.dir, name)
	}
	return filepath.Join(d.dir, name)
}

func (d *daemon) launch() error {
	args := append(append([]string(nil), d.program[1:]...), "serve", "-data", d.dir, "-listen", d.ws, "-api", d.api, "-drain", "5s")
	d.cmd = exec.Command(d.program[0], append(args, d.args...)...) //nolint:gosec // what the user asked for
	d.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	d.cmd.Stderr = d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if d.mounts {
		ownMounts(d.cmd.SysProcAttr)
	}
	exited, err := spawn(d.cmd)
	if err != nil {
		if d.mounts && errors.Is(err, syscall.EPERM) {
			err = fmt.Errorf("%w: a mount namespace isn't permitted; it needs root or user namespaces: %w", errAbsent, err)
		}
		return fmt.Errorf("starting busbar: %w", err)
	}
	d.exited = exited
	return nil
}

func (d *daemon) awaitReady(ctx context.Context) error {
	most := patience
	if d.shared { // it reads what it missed first
		most = 8 * patience
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		r, err := d.http.Get("http://" + d.api + "/readyz")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-d.exited:
			if d.mounts && d.cmd.ProcessState.ExitCode() == mountFailed {
				return fmt.Errorf("%w: mounting isn't permitted; it needs root%s", errAbsent, d.log)
			}
			return fmt.Errorf("starting busbar: it has ended, %v%s", d.cmd.ProcessState, d.log)
		case <-ctx.Done():
			return fmt.Errorf("waiting for busbar to be ready: %w%s", ctx.Err(), d.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

// runs is false when the process has ended.
func (d *daemon) runs() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// kill ends it as a power cut would.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
	d.http.CloseIdleConnections()
}

var errUnorderly = errors.New("busbar ended otherwise than it should")

// stop ends it as systemd does, and wants exit code 0 and nothing alarming in the log.
func (d *daemon) stop() error {
	d.http.CloseIdleConnections()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	force := time.AfterFunc(patience, func() { _ = d.cmd.Process.Kill() })
	<-d.exited
	if !force.Stop() {
		return fmt.Errorf("%w: killed %v after SIGTERM%s", errUnorderly, patience, d.log)
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%w: %v%s", errUnorderly, d.cmd.ProcessState, d.log)
	}
	return d.log.alarming()
}
