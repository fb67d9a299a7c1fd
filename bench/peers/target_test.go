package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// target is a child process that serves as one target, and the control connection to it.
type target struct {
	t       *testing.T
	pid     int
	listen  string
	control net.Conn
	answers *bufio.Reader
}

// startTarget starts a target. When the test ends, it must end on SIGTERM without an error.
func startTarget(t *testing.T, name string) *target {
	t.Helper()
	listen, control := freeAddress(t), freeAddress(t)
	cmd := exec.Command(os.Args[0], name, "-listen", listen, "-control", control)
	cmd.Env = append(os.Environ(), asTarget+"=1")
	if name == "nbio" {
		// nbio hands a connection from the goroutine that accepts it to the one that reads
		// through epoll, an order that the race detector can't see. Its own functions are
		// marked go:norace for that; methods that the compiler makes can't be, and are
		// reported. So reports don't count for nbio, neither its nor nbio.go's.
		cmd.Env = append(cmd.Env, "GORACE=exitcode=0 log_path="+filepath.Join(t.TempDir(), "races"))
	}
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stopping %s: %v", name, err)
		}
		kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v", name, err)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%s said %q, %v; want ready", name, line, err)
	}
	conn, err := net.Dial("tcp", control)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &target{t: t, pid: cmd.Process.Pid, listen: listen, control: conn, answers: bufio.NewReader(conn)}
}

// freeAddress is one on which nobody listens. Hardly anybody else uses its host, so that its port
// stays free until the target takes it.
func freeAddress(t *testing.T) string {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254))
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// stats asks the target for its statistics.
func (p *target) stats() stats {
	p.t.Helper()
	p.control.SetDeadline(time.Now().Add(patience))
	if _, err := p.control.Write(binary.BigEndian.AppendUint32(nil, lengthStats)); err != nil {
		p.t.Fatalf("asking for statistics: %v", err)
	}
	line, err := p.answers.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("reading statistics: %v", err)
	}
	var s stats
	if err := json.Unmarshal(line, &s); err != nil {
		p.t.Fatalf("statistics %q: %v", line, err)
	}
	return s
}

// until asks for statistics again and again until they are as wanted.
func (p *target) until(what string, wanted func(stats) bool) stats {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		s := p.stats()
		if wanted(s) {
			return s
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited for %s, but the target says %+v", what, s)
		}
	}
}

// untilClients waits until the target has n clients.
func (p *target) untilClients(n int64) {
	p.t.Helper()
	p.until("clients to come or go", func(s stats) bool { return s.Clients == n })
}
