package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fullPipe is the end of a pipe to write to, which takes nothing more, and the one that nobody reads.
func fullPipe(t *testing.T) (in, unread *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 4096)
	for {
		if _, err := unix.Write(fds[1], junk); err == unix.EAGAIN {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(fds[1], false); err != nil { // as a shell makes them
		t.Fatal(err)
	}
	in, unread = os.NewFile(uintptr(fds[1]), "in"), os.NewFile(uintptr(fds[0]), "unread")
	t.Cleanup(func() { in.Close(); unread.Close() })
	return in, unread
}

// startUnheard starts a server whose standard output and error are the given files. It is found by an address
// of this host that hardly anybody else uses.
func startUnheard(t *testing.T, out, log *os.File, args ...string) *daemon {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254))
	d := &daemon{t: t, dir: filepath.Join(t.TempDir(), "data"), ws: host + ":4400", api: host + ":4401",
		exited: make(chan struct{}), out: newOutput(), log: newOutput()}
	args = append([]string{"-data", d.dir, "-listen", d.ws, "-api", d.api, "-drain", "10m"}, args...)
	d.cmd = launch{args: args}.command()
	d.cmd.Stdout, d.cmd.Stderr = out, log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(d.cleanUp)
	eventually(t, "the server answers", func() bool {
		answer, err := http.Get("http://" + d.api + "/healthz")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil && answer.StatusCode == http.StatusOK
	})
	token, err := os.ReadFile(filepath.Join(d.dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	d.admin = strings.TrimSpace(string(token))
	return d
}

// lettingEverybodyIn is an auth service that lets everybody in until it is closed.
func lettingEverybodyIn(t *testing.T) *httptest.Server {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"user_id":"alice"}`)
	}))
	t.Cleanup(service.Close)
	return service
}

// A reader of the log, or of standard output, that stalls holds up nobody: not clients while there is much to
// log, not the API, not the end.
func TestLogReaderThatStalls(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			service := lettingEverybodyIn(t)
			out, _ := fullPipe(t)
			log, unread := fullPipe(t)
			d := startUnheard(t, out, log, "-log-format", format, "-log-level", "debug", "-loops", "1",
				"-auth", "http", "-auth-url", service.URL)
			alice := d.connect("alice")
			service.Close()
			for i := range 5 {
				waitClose(t, startGoClient(t, d.url(""), fmt.Sprint("stranger", i), "header"), 1013)
			}
			if seq := d.publish("t_1"); waitChange(alice).Seq != seq {
				t.Error("a client missed an event")
			}
			if status := d.call("GET", "/healthz", "", "").status; status != http.StatusOK {
				t.Errorf("/healthz: %d", status)
			}
			if n := d.metric("busbar_log_records_dropped_total"); n != 0 {
				t.Errorf("%v records were dropped, though there is room for thousands", n)
			}
			d.stop() // -drain is ten minutes: this waits for nobody
			waitClose(t, alice, 1012)
			_ = unread.Close()
		})
	}
}

// What was logged while nobody read is read afterwards, the end's lines included.
func TestLogReaderThatComesBack(t *testing.T) {
	service := lettingEverybodyIn(t)
	out, _ := fullPipe(t)
	log, unread := fullPipe(t)
	d := startUnheard(t, out, log, "-auth", "http", "-auth-url", service.URL)
	service.Close()
	waitClose(t, startGoClient(t, d.url(""), "stranger", "header"), 1013)
	read := newOutput()
	copied := make(chan struct{})
	go func() { // not before it was written: the pipe was full
		defer close(copied)
		b := make([]byte, 64<<10)
		for {
			n, err := unread.Read(b)
			_, _ = read.Write([]byte(strings.Trim(string(b[:n]), "\x00")))
			if err != nil {
				return
			}
		}
	}()
	d.stop()
	log.Close()
	<-copied
	text := read.String()
	draining, stopped := strings.Index(text, "msg=draining"), strings.Index(text, "msg=stopped")
	if first := strings.Index(text, "level="); first < 0 || first >= draining || draining >= stopped {
		t.Errorf("read\n%s", text)
	}
}

// A reader that goes away ends nothing: clients are told by 1012, and the exit code is that of a good end.
func TestLogReaderThatHasGone(t *testing.T) {
	service := lettingEverybodyIn(t)
	d := launch{args: []string{"-drain", "10m", "-auth", "http", "-auth-url", service.URL, "-log-level", "debug"}}
	outRead, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	logRead, log, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outRead.Close() // before there is anything to announce
	server := startUnheard(t, out, log, d.args...)
	out.Close()
	log.Close()
	logRead.Close()
	alice := server.connect("alice")
	service.Close()
	waitClose(t, startGoClient(t, server.url(""), "stranger", "header"), 1013)
	if seq := server.publish("t_1"); waitChange(alice).Seq != seq {
		t.Error("a client missed an event")
	}
	if n := server.metric("busbar_log_records_dropped_total"); n == 0 {
		t.Error("no record was counted that couldn't be written")
	}
	server.stop()
	waitClose(t, alice, 1012)
}

// A server that can't start says so as far as it can, and ends.
func TestFailureThatNobodyReads(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cmd := launch{args: []string{"-data", t.TempDir(), "-listen", "127.0.0.1:0", "-api", taken.Addr().String()}}.command()
	log, _ := fullPipe(t)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(soon, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailure {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
}

// Commands that print are filters: they end when nobody takes what they print.
func TestTailEndsWithItsReader(t *testing.T) {
	d := commonDaemon(t)
	read, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tail := launch{args: []string{"tail", "-url", d.url(""), "-data", d.dir}}.command()
	tail.Stdout = out
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	read.Close()
	eventually(t, "busbar tail connected", func() bool { return d.metric("busbar_clients") == 1 })
	d.publish("t_1")
	kill := time.AfterFunc(soon, func() { _ = tail.Process.Kill() })
	defer kill.Stop()
	_ = tail.Wait()
	if status, ok := tail.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGPIPE {
		t.Errorf("ended with %v", tail.ProcessState)
	}
}
