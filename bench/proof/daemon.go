package proof

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// daemon is a server's process. Owned by one goroutine, but for calls and connections.
type daemon struct {
	*process
	program string
	dir     string // the data directory, as it sees it
	ws, api string // host:port
	args    []string
	room    *room
	shared  bool // its log is on NATS, and may be busy, which pulls are told

	log   *tail
	http  *http.Client
	admin string
}

// newDaemon finds ports and doesn't start anything.
func newDaemon(program, dir string, args ...string) (*daemon, error) {
	d := &daemon{program: program, dir: dir, args: args, log: &tail{}}
	free, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	d.ws, d.api = free[0], free[1]
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		return d.room.dial(ctx, &net.Dialer{}, address)
	}
	d.http = &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}, Timeout: 2 * time.Minute}
	return d, nil
}

// path is a file in the data directory, from this process's point of view.
func (d *daemon) path(name string) string { return d.room.path(filepath.Join(d.dir, name)) }

// start is over when the server is ready.
func (d *daemon) start(ctx context.Context) error {
	if err := d.launch(); err != nil {
		return err
	}
	err := d.awaitReady(ctx)
	if err == nil && d.admin == "" { // a new start doesn't make another one, and callers read it
		var token []byte
		token, err = os.ReadFile(d.path("admin-token"))
		d.admin = strings.TrimSpace(string(token))
	}
	if err != nil {
		d.kill()
		return fmt.Errorf("starting busbar: %w%s", err, d.log)
	}
	return nil
}

func (d *daemon) launch() (err error) {
	args := slices.Concat([]string{d.program, "serve", "-data", d.dir, "-listen", d.ws, "-api", d.api, "-drain", "5s"}, d.args)
	if d.process, err = run(d.room.inside(args...), &exec.Cmd{Stderr: d.log}); err != nil {
		return fmt.Errorf("starting busbar: %w", err)
	}
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
		case <-d.ended:
			return fmt.Errorf("it has ended, %v", d.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("waiting for it to be ready: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// kill ends it as a power cut would.
func (d *daemon) kill() {
	d.end(syscall.SIGKILL)
	d.http.CloseIdleConnections()
}

// stop ends it as systemd does, and wants exit code 0 and nothing alarming in the log.
func (d *daemon) stop() error {
	d.http.CloseIdleConnections()
	if d.end(syscall.SIGTERM) {
		return fmt.Errorf("%w: killed %v after SIGTERM%s", errUnorderly, patience, d.log)
	}
	if code := d.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%w: %v%s", errUnorderly, d.ProcessState, d.log)
	}
	return d.log.alarming()
}
