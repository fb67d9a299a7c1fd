package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// The end-to-end tests (e2e_*_test.go) start the daemon as a process, as users do, and look at it
// from outside. This file starts and stops it; e2e_http_test.go and e2e_client_test.go talk to it.
// Each start takes a third of a second of processor time with the race detector: files whose tests aren't
// about what is concurrent are built without it alone.

// launch says how busbar is started. The zero value is "busbar" without arguments.
type launch struct {
	args        []string
	env         []string // besides PATH and HOME
	stdin       string
	inside      []string            // a command that runs busbar in other surroundings; empty: none
	terminal    bool                // standard output is one
	descriptors int                 // hard and soft RLIMIT_NOFILE; 0: as this process's
	user        *syscall.Credential // nil: as this process's
}

// command has nothing of this process's environment: a BUSBAR_ variable there isn't meant for it.
func (l launch) command() *exec.Cmd {
	program, args := filepath.Join(built, "busbar"), l.args
	if l.descriptors > 0 { // prlimit replaces itself by the program, so the process id stays
		limit := fmt.Sprintf("--nofile=%d:%d", l.descriptors, l.descriptors)
		program, args = "prlimit", append([]string{limit, "--", program}, args...)
	}
	if len(l.inside) > 0 {
		program, args = l.inside[0], slices.Concat(l.inside[1:], []string{program}, args)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append([]string{
		"PATH=" + built + ":" + os.Getenv("PATH"), "HOME=" + built,
		wstest.RaceOptions,
	}, l.env...)
	cmd.Dir = built
	cmd.Stdin = strings.NewReader(l.stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: l.user, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run waits for a command that ends by itself.
func (l launch) run(t *testing.T) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	cmd := l.command()
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Start(); e != nil {
		t.Fatalf("starting busbar %q: %v", l.args, e)
	}
	kill := time.AfterFunc(soon, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	var exit *exec.ExitError
	if e := cmd.Wait(); e != nil && !errors.As(e, &exit) {
		t.Fatalf("running busbar %q: %v", l.args, e)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// daemon is a running server. It is owned by the test that started it.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	dir    string // the data directory
	ws     string // host:port of the WebSocket
	api    string // host:port of the HTTP API
	link   string // to the demo page
	out    *output
	log    *output
	exited chan struct{} // closed when it has ended
	admin  string        // the admin token
	secret []string      // what must never be printed, besides the demo link
}

// startDaemon starts a server with a data directory of its own on free ports. args may say otherwise:
// the last of a repeated flag counts.
func startDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	return launch{args: args}.start(t)
}

func (l launch) start(t *testing.T) *daemon {
	t.Helper()
	d := l.prepare(t)
	d.run()
	return d
}

// prepare is start without starting it.
func (l launch) prepare(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: filepath.Join(t.TempDir(), "data"), exited: make(chan struct{})}
	d.out, d.log = newOutput(), newOutput()
	for i, arg := range l.args {
		if arg == "-data" {
			d.dir = l.args[i+1]
		}
	}
	l.args = append([]string{"-data", d.dir, "-listen", "127.0.0.1:0", "-api", "127.0.0.1:0", "-drain", "5s"}, l.args...)
	d.cmd = l.command()
	if l.terminal {
		d.useTerminal()
	}
	return d
}

// common is a daemon without flags for tests that aren't parallel, and leave it as they found it but for sessions and
// what is stored. The first of them starts it.
var common *daemon

func commonDaemon(t *testing.T) *daemon {
	t.Helper()
	if common == nil {
		common = launch{args: []string{"-data", filepath.Join(built, "common-data")}}.prepare(t)
		afterTests = append(afterTests, func() {
			_ = common.cmd.Process.Signal(syscall.SIGTERM)
			<-common.exited
		})
		common.begin()
	}
	common.t = t
	t.Cleanup(func() {
		eventually(t, "the test's clients have left", func() bool { return common.metric("busbar_connections") == 0 })
		common.checkOutput()
	})
	return common
}

// run is begin for a server that ends with its test.
func (d *daemon) run() {
	d.t.Helper()
	d.t.Cleanup(d.cleanUp)
	d.begin()
}

// begin starts d.cmd and waits until the server says where it listens.
func (d *daemon) begin() {
	d.t.Helper()
	if d.cmd.Stderr = d.log; d.cmd.Stdout == nil {
		d.cmd.Stdout = d.out
	}
	if err := d.cmd.Start(); err != nil {
		close(d.exited)
		d.t.Fatalf("starting busbar: %v", err)
	}
	go func() {
		_ = d.cmd.Wait() // cmd.ProcessState says the rest
		close(d.exited)
	}()
	d.readAnnouncement()
}

var (
	announced = regexp.MustCompile(`(?s)WebSocket +ws://(\S+).*HTTP API +http://(\S+).*-d '\{.*\}'\n\n`)
	demoLink  = regexp.MustCompile(`http://\S+/demo\S*`)

	// announcedJSON is the record in place of it with -log-format json.
	announcedJSON = regexp.MustCompile(`"msg":"serving".*"websocket":"(\S+?)".*"api":"(\S+?)".*\n`)
)

func (d *daemon) readAnnouncement() {
	d.t.Helper()
	var found []string
	where, what := d.out, announced
	if slices.Contains(d.cmd.Args, "json") {
		where, what = d.log, announcedJSON
	}
	d.waitOutput(where, "announcement", func(text string) bool {
		found = what.FindStringSubmatch(text)
		return found != nil
	})
	d.ws, d.api, d.link = found[1], found[2], demoLink.FindString(d.out.String())
	if token, err := os.ReadFile(filepath.Join(d.dir, "admin-token")); err == nil {
		d.admin = strings.TrimSpace(string(token))
		d.secret = append(d.secret, d.admin)
	}
}

// waitOutput waits until what was printed fulfils a condition.
func (d *daemon) waitOutput(o *output, what string, ok func(string) bool) {
	d.t.Helper()
	deadline := time.After(soon)
	for {
		grown := o.changed()
		if ok(o.String()) {
			return
		}
		select {
		case <-grown:
		case <-d.exited:
			if ok(o.String()) {
				return
			}
			d.t.Fatalf("busbar ended (%v) before its %s\n%s", d.cmd.ProcessState, what, d.transcript())
		case <-deadline:
			d.t.Fatalf("no %s within %v\n%s", what, soon, d.transcript())
		}
	}
}

func (d *daemon) transcript() string {
	return "standard output:\n" + d.out.String() + "standard error:\n" + d.log.String()
}

// stop asks the server to end, as systemd does, and wants exit code 0. It returns how long that took.
func (d *daemon) stop() time.Duration {
	d.t.Helper()
	start := time.Now()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	d.waitExit()
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.t.Errorf("exit code %d after SIGTERM\n%s", code, d.transcript())
	}
	return time.Since(start)
}

// crash ends the server as a power cut would.
func (d *daemon) crash() {
	d.t.Helper()
	_ = d.cmd.Process.Kill()
	d.waitExit()
}

func (d *daemon) waitExit() {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(soon):
		_ = d.cmd.Process.Kill()
		<-d.exited
		d.t.Fatalf("busbar didn't end within %v\n%s", soon, d.transcript())
	}
}

// cleanUp stops the server unless the test has, and looks at all that it has printed.
func (d *daemon) cleanUp() {
	select {
	case <-d.exited:
	default:
		d.stop()
	}
	d.checkOutput()
}

func (d *daemon) checkOutput() {
	d.t.Helper()
	text := d.transcript()
	for _, trouble := range []string{"DATA RACE", "panic", "\ngoroutine "} { // as a dump of stacks has it; NATS logs the word
		if strings.Contains(text, trouble) {
			d.t.Errorf("busbar printed %q\n%s", trouble, text)
		}
	}
	if _, token, printed := strings.Cut(d.link, "#token="); printed && strings.Count(text, token) != 1 {
		d.t.Errorf("busbar printed the demo page's token more than once\n%s", text)
	}
	for _, secret := range d.secret {
		if secret != "" && strings.Contains(text, secret) {
			d.t.Errorf("busbar printed the token %q\n%s", secret, text)
		}
	}
	if d.t.Failed() {
		d.t.Logf("%s", text)
	}
}

// page is the address of the demo page, signed in.
func (d *daemon) page() string { return "http://" + d.api + "/demo#token=" + d.session("demo") }

// onOwnAddress starts a server on an address of this host that hardly anybody else uses: its
// ports stay free while it restarts, whatever is connected from 127.0.0.1 meanwhile.
func onOwnAddress(t *testing.T) *daemon {
	t.Helper()
	host := ownAddress()
	return startDaemon(t, "-listen", host, "-api", host)
}

// ownAddress is such an address, with any port.
func ownAddress() string {
	return fmt.Sprintf("127.%d.%d.%d:0", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254))
}

// restart starts another server where this one, which has ended, was.
func (d *daemon) restart(args ...string) *daemon {
	d.t.Helper()
	return startDaemon(d.t, append([]string{"-data", d.dir, "-listen", d.ws, "-api", d.api}, args...)...)
}

// output is what a child prints. Safe from any goroutine.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{} // closed with the next write
}

var _ io.Writer = (*output)(nil)

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

// changed is closed with the next write.
func (o *output) changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.grew
}

// waitFor returns when it holds text.
func (o *output) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.After(soon); ; {
		grown := o.changed()
		if strings.Contains(o.String(), text) {
			return
		}
		select {
		case <-grown:
		case <-deadline:
			t.Fatalf("%q never came; there was %q", text, o)
		}
	}
}

// eventually waits until ok says yes. It is for what can only be asked for, not waited for: ever less often, since asking
// a server takes its time, and ours.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	pause := time.Millisecond
	for deadline := time.Now().Add(soon); !ok(); <-time.After(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, soon)
		}
		pause = min(2*pause, 64*time.Millisecond)
	}
}
