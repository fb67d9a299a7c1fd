//go:build !race && !racedaemon

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/wstest"
)

var echoAnnounced = regexp.MustCompile(`(?s)ECHO MODE \(-echo\).*WebSocket +ws://(\S+)\n.*Point the suite at ws://(\S+),`)

// startEcho starts busbar -echo and waits until it says where it listens.
func startEcho(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, exited: make(chan struct{}), out: newOutput(), log: newOutput()}
	d.cmd = launch{args: append([]string{"-echo", "-listen", "127.0.0.1:0"}, args...)}.command()
	d.cmd.Dir = t.TempDir()
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(d.cleanUp)
	d.waitOutput(d.out, "announcement", func(text string) bool {
		found := echoAnnounced.FindStringSubmatch(text)
		if found == nil {
			return false
		}
		d.ws = found[1]
		return found[1] == found[2]
	})
	return d
}

// docs/protocol.md section 7, -echo: what a client sends comes back to it and to nobody else, and nothing else
// of the daemon is there: no API, no data directory.
func TestEchoMode(t *testing.T) {
	d := startEcho(t, "-max-message-in", "1MiB")
	url := "ws://" + d.ws + "/any/path?at=all"
	sender, other := wstest.Connect(t, url, ""), wstest.Connect(t, url, "")
	for _, message := range []struct {
		kind websocket.MessageType
		data string
	}{
		{websocket.MessageText, `{"type":"presence","from":"me"}`}, {websocket.MessageText, ""},
		{websocket.MessageBinary, "\x00\xff"}, {websocket.MessageBinary, strings.Repeat("b", 1<<20)},
	} {
		if err := sender.Write(t.Context(), message.kind, []byte(message.data)); err != nil {
			t.Fatal(err)
		}
		sender.Expect(message.kind, message.data)
	}
	other.Send("mine")
	other.Expect(websocket.MessageText, "mine") // the first that it gets
	if n := listeners(t, d.cmd.Process.Pid, d.ws); n == 0 {
		t.Error("it listens elsewhere than at its WebSocket address")
	}
	if left, err := os.ReadDir(d.cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v behind, %v", left, err)
	}
	d.waitOutput(d.log, "warning", func(text string) bool { return strings.Contains(text, "everybody is let in") })
	d.cmd.Process.Signal(os.Interrupt)
	sender.ExpectClose(websocket.StatusServiceRestart)
	other.ExpectClose(websocket.StatusServiceRestart)
	d.waitExit()
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// listeners counts the sockets that a process listens on, all of which have to have the address.
func listeners(t *testing.T, pid int, addr string) (n int) {
	t.Helper()
	own := make(map[string]bool)
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if what, err := os.Readlink(link); err == nil {
			own[strings.TrimSuffix(strings.TrimPrefix(what, "socket:["), "]")] = true
		}
	}
	port := fmt.Sprintf(":%04X", netip.MustParseAddrPort(addr).Port())
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" || !own[f[9]] { // 0A: LISTEN, linux/tcp_states.h
				continue
			}
			if n++; !strings.HasSuffix(f[1], port) {
				return 0
			}
		}
	}
	return n
}

// A port that is taken is named, as it is without -echo.
func TestEchoPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, stderr, code := launch{args: []string{"-echo", "-listen", taken.Addr().String()}}.run(t)
	if code != 1 || !strings.Contains(stderr, "-listen") || !strings.Contains(stderr, "address already in use") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
