//go:build !race && !racedaemon

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/hub/httpapi"
	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// managed is a daemon whose service manager is the test.
type managed struct {
	*daemon
	states chan string
	tell   func(state string) // as the server would
}

func startManaged(t *testing.T, watchdog time.Duration, args ...string) managed {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	states := make(chan string, 1000)
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			states <- string(buffer[:n])
		}
	}()
	env := []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=" + strconv.FormatInt(watchdog.Microseconds(), 10)}
	tell := func(state string) {
		conn, err := net.Dial("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(state)); err != nil {
			t.Fatal(err)
		}
	}
	return managed{launch{args: args, env: env}.start(t), states, tell}
}

// waitState is the next state that begins like that, past those of the watchdog.
func (m managed) waitState(want string) string {
	m.t.Helper()
	for deadline := time.After(soon); ; {
		select {
		case state := <-m.states:
			if strings.HasPrefix(state, want) {
				return state
			}
			if state != "WATCHDOG=1" {
				m.t.Fatalf("the service manager is told %q, not %s", state, want)
			}
		case <-deadline:
			m.t.Fatalf("the service manager isn't told %s\n%s", want, m.transcript())
		}
	}
}

// A unit with Type=notify: told when clients can connect, that the loops answer, that the
// configuration is read again, and that the server drains, with the
// time that it takes at most. A process that doesn't run any more says nothing, and goes on when it runs again.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	m := startManaged(t, 300*time.Millisecond, "-drain", "7s")
	if state := m.waitState("READY=1"); !strings.Contains(state, "\nSTATUS=serving up to ") {
		t.Errorf("told %q", state)
	}
	c := m.connect(m.session("alice"))
	m.waitState("WATCHDOG=1")
	_ = m.cmd.Process.Signal(syscall.SIGSTOP)
	wstest.Eventually(t, "it has stopped", func() bool {
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(m.cmd.Process.Pid) + "/stat")
		return strings.Contains(string(stat), ") T ")
	})
	for len(m.states) > 0 {
		<-m.states
	}
	select {
	case state := <-m.states:
		t.Errorf("a stopped process says %q", state)
	case <-time.After(600 * time.Millisecond): // twice the watchdog's time
	}
	_ = m.cmd.Process.Signal(syscall.SIGCONT)
	m.waitState("WATCHDOG=1")
	_ = m.cmd.Process.Signal(syscall.SIGHUP)
	m.waitState("RELOADING=1")
	m.waitState("READY=1")
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	if state := m.waitState("STOPPING=1"); !strings.Contains(state, "\nEXTEND_TIMEOUT_USEC=22000000") {
		t.Errorf("told %q", state)
	}
	waitClose(t, c, 1012)
	m.waitExit()
}

// A server that drains isn't ready any more, whether a reload had begun before that or begins later.
func TestReloadDuringADrainIsNotToldTheManager(t *testing.T) {
	t.Parallel()
	conf := makeFile(t, filepath.Join(t.TempDir(), "busbar.conf"), "", 0o600)
	m := startManaged(t, 0, "-config", conf, "-drain-delay", "1m")
	m.waitState("READY=1")
	if err := errors.Join(os.Remove(conf), unix.Mkfifo(conf, 0o600)); err != nil {
		t.Fatal(err)
	}
	_ = m.cmd.Process.Signal(syscall.SIGHUP)
	m.waitState("RELOADING=1")
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	m.waitState("STOPPING=1")
	if err := errors.Join(os.WriteFile(conf, []byte("max-per-ip = 9\n"), 0), os.Remove(conf)); err != nil { // ends the first
		t.Fatal(err)
	}
	m.log.waitFor(t, "the configuration was read again")
	makeFile(t, conf, "max-per-ip = 8\n", 0o600)
	var done httpapi.Reloaded
	if m.adminCall("POST", "/v1/reload", "", &done); !slices.Equal(done.Changed, []string{"max-per-ip"}) {
		t.Errorf("%+v", done)
	}
	wstest.Eventually(t, "another signal, later than oneSignal, ends the drain", func() bool {
		_ = m.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-m.exited:
			return true
		default:
			return false
		}
	})
	m.tell("the end") // behind all that the server said
	m.waitState("the end")
}

// The watchdog is served while answers come, and not otherwise.
func TestWatchdogWantsAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "30000")
	log := newOutput()
	cfg := defaultOptions(memory.Defaults())
	hang, hung := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		asked := 0
		(&supervisor{log: newLogger(cfg, log, new(slog.LevelVar))}).watch(t.Context(), func(context.Context) error {
			if asked++; asked == 3 {
				close(hung)
				<-hang
				return context.Canceled
			}
			return nil
		})
	}()
	for range 2 {
		read(t, socket)
	}
	<-hung
	log.waitFor(t, "an event loop hasn't answered")
	close(hang)
	<-ended
	_ = socket.SetReadDeadline(time.Now())
	if n, _ := socket.Read(make([]byte, 99)); n > 0 {
		t.Error("the manager was told that the process is alive while a loop didn't answer")
	}
}

func read(t *testing.T, socket *net.UnixConn) {
	t.Helper()
	buffer := make([]byte, 99)
	_ = socket.SetReadDeadline(time.Now().Add(soon))
	if n, err := socket.Read(buffer); err != nil || string(buffer[:n]) != "WATCHDOG=1" {
		t.Fatalf("told %q, %v", buffer[:n], err)
	}
}

// What a container's health check calls: it finds the server by the flags, variables and file that the server has.
func TestHealth(t *testing.T) {
	srv := sharedServer(t)
	for _, test := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, []string{"health", "-api", srv.api}, `{"status":"ok"}`},
		{[]string{"BUSBAR_API=" + srv.api}, []string{"health", "-ready"}, `{"status":"ready"}`},
	} {
		o := runCommand("", test.env, test.args...)
		o.want(t, exitOK)
		if strings.TrimSpace(o.out) != test.want {
			t.Errorf("%v prints %q", test.args, o.out)
		}
	}
	file := filepath.Join(t.TempDir(), "busbar.conf")
	if err := os.WriteFile(file, []byte("api = "+srv.api+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runCommand("", []string{"BUSBAR_CONFIG=" + file}, "health").want(t, exitOK)
	runCommand("", nil, "health", "-api", wstest.FreeAddress(t)).want(t, exitFailure, "nothing listens at")
	runCommand("", nil, "health", "-readdy").want(t, exitUsage, "did you mean -ready?")
}

// A manager that reads nothing keeps the server from nothing: it serves, reads its configuration again, and drains.
func TestServiceManagerThatReadsNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for !errors.Is(err, unix.EAGAIN) { // until there is no more room
		if err = unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrUnix{Name: path}); err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
	}
	d := launch{env: []string{"NOTIFY_SOCKET=" + path}}.start(t)
	d.adminCall("POST", "/v1/reload", "", nil)
	d.stop()
	if text := d.log.String(); !strings.Contains(text, "the service manager can't be told") {
		t.Errorf("the log doesn't say so:\n%s", text)
	}
}
