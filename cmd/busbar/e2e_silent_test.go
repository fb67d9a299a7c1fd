package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// silentTimeout is how long a silent connection may stay when there is room for it.
const silentTimeout = 10 * time.Second

// startSilentCrowd has another process connect, and returns the lines that it prints.
func (d *daemon) startSilentCrowd(count, sources int) *bufio.Scanner {
	d.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", silentCrowd, d.ws, count, sources))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	kill := time.AfterFunc(3*soon, func() { _ = cmd.Process.Kill() })
	d.t.Cleanup(func() { kill.Stop(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return bufio.NewScanner(out)
}

func expectLine(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	if !lines.Scan() || lines.Text() != want {
		t.Fatalf("the process that connects printed %q, want %q", lines.Text(), want)
	}
}

func (d *daemon) stats() (s hub.Stats) {
	d.t.Helper()
	d.adminCall("GET", "/v1/stats", "", &s)
	return s
}

// responds wants a newcomer let in, and a change delivered to it and to who was there before,
// within a bound.
func (d *daemon) responds(token string, before *wstest.Raw) {
	d.t.Helper()
	const most = silentTimeout // whoever had to wait for the silent ones to be timed out would wait for longer
	began := time.Now()
	newcomer := d.rawClient("127.0.0.2", token, "")
	defer newcomer.Close()
	handshake := time.Since(began)
	began = time.Now()
	d.publishToAll([]*wstest.Raw{before, newcomer})
	delivery := time.Since(began)
	d.t.Logf("a handshake took %v, a change to all %v", handshake, delivery)
	if handshake > most || delivery > most {
		d.t.Errorf("a handshake took %v, a change to all %v; at most %v is fine", handshake, delivery, most)
	}
}

// 10,000 connections that send nothing are ended within the handshake timeout. Until then
// newcomers are let in and served as ever; afterwards nothing is left of them.
func TestTenThousandSilentConnections(t *testing.T) {
	t.Parallel()
	const sources, perSource = 200, 64
	d := startDaemon(t, "-handshake-timeout", silentTimeout.String(), "-max-per-ip", fmt.Sprint(perSource))
	token := d.session("alice")
	limit, err := eventloop.DescriptorLimit()
	if err != nil {
		t.Fatal(err)
	}
	count := min(10_000, limit/2) // half is the server's, half that of the process that connects
	if wstest.RaceEnabled {
		count = min(1000, limit/2)
	}
	healthy := d.rawClient("127.0.0.1", token, "")
	d.responds(token, healthy)
	eventually(t, "the newcomer has left", func() bool { return d.stats().Connections == 1 })
	pid := d.cmd.Process.Pid
	descriptors, resident := descriptorsOf(pid), residentOf(pid)

	began := time.Now()
	lines := d.startSilentCrowd(count, sources)
	expectLine(t, lines, "connected")
	connected := time.Since(began)
	eventually(t, "they are there", func() bool {
		s := d.stats()
		return s.Connections+int(ended(s)) > count
	})
	peak := residentOf(pid)
	d.responds(token, healthy)
	expectLine(t, lines, "ended")
	took := time.Since(began)
	if most := connected + silentTimeout + 20*time.Second; took > most {
		t.Errorf("the last was ended after %v, at most %v is fine", took, most)
	}
	eventually(t, "their places are given back", func() bool { return d.stats().Connections == 1 })
	s := d.stats()
	if n := ended(s) - 2; int(n) != count || s.Closed["handshake_timeout"] == 0 { // two newcomers have left
		t.Errorf("%d connections are counted as ended, want %d: %v", n, count, s.Closed)
	}
	eventually(t, "their descriptors are closed", func() bool { return descriptorsOf(pid) <= descriptors+8 })
	after := residentOf(pid)
	t.Logf("%d connected in %v, all ended after %v; resident %s before, %s at the peak, %s after",
		count, connected, took, inMiB(resident), inMiB(peak), inMiB(after))
	// Measured: 6 MiB more with all of them, which the allocator keeps for those that come next.
	if most := resident + 20<<20; !wstest.RaceEnabled && (peak > most || after > most) {
		t.Errorf("resident %s before, %s at the peak, %s after: at most 20 MiB more are fine", inMiB(resident), inMiB(peak), inMiB(after))
	}
	d.responds(token, healthy)
}

func ended(s hub.Stats) (n uint64) {
	for _, of := range s.Closed {
		n += of
	}
	return n
}

func inMiB(bytes int) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/cli.MiB) }
