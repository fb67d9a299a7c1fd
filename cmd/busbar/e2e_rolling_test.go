//go:build !race && !racedaemon

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	nats "github.com/nats-io/nats-server/v2/server"

	"github.com/busbar-ws/busbar/client"
	"github.com/busbar-ws/busbar/hub"
)

// docs/operations.md, Restart and upgrade: two nodes behind a balancer are restarted, one after the other. Clients that are
// sent away are at the other node with the first try, within a second, and miss nothing of what is published meanwhile;
// those that stay are told who has left. A node's successor may wait beside it for its data, number and ports.
func TestRollingRestartOfNodes(t *testing.T) {
	t.Parallel()
	const clients = 12
	address, _ := startNATS(t, t.TempDir(), nats.RANDOM_PORT)
	flags := []string{"-auth", "none", "-max-per-ip", "0", "-drain-delay", "500ms"}
	nodes := make([]*daemon, 2)
	for i := range nodes {
		host := ownAddress()
		nodes[i] = startOnNATS(t, address, 1+i, append(flags, "-listen", host, "-api", host)...)
	}
	want := []uint64{nodes[0].publish("first")}
	url, since := "ws://"+startBalancer(t, nodes[0], nodes[1]), want[0]-1
	var followers [clients]returner
	for i := range followers {
		followers[i].follow(t, url, since)
	}
	sentAway := 0
	for i, d := range nodes {
		other, next := nodes[1-i], prepareOnNATS(t, address, 1+i, append(flags, "-data", d.dir, "-listen", d.ws, "-api", d.api, "-lock-wait", "1m")...)
		other.wantReady(200, "ready")
		var stays returner
		leave := stays.follow(t, other.url(""), since)
		var leaving []uint64
		eventually(t, "all are somewhere", func() bool {
			leaving = d.clientIDs()
			return len(leaving) > 0 && len(leaving)+len(other.clientIDs()) == clients+1
		})
		sentAway += len(leaving)
		serving := next.run // when the old one has ended; the other time it waits for that
		if i == 0 {
			serving = next.beginLater()
		}
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		for !isClosed(d.exited) {
			want = append(want, other.publish("meanwhile"))
			time.Sleep(5 * time.Millisecond) // the publisher's pace
		}
		if code := d.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("node %d: exit code %d", 1+i, code)
		}
		serving()
		nodes[i] = next
		want = append(want, next.publish("afterwards"))
		for n := range followers {
			eventually(t, "all are back and have everything", func() bool { return followers[n].last() == want[len(want)-1] })
		}
		eventually(t, "all leaves", func() bool { return len(stays.leftOf(leaving)) >= len(leaving) })
		if left := stays.leftOf(leaving); !slices.Equal(left, leaving) {
			t.Errorf("node %d had the clients %v, and %v have left", 1+i, leaving, left)
		}
		leave()
	}
	for i := range followers {
		sentAway -= followers[i].wantAtOnce(t, want)
	}
	if sentAway != 0 {
		t.Errorf("%d more were sent away than came back", sentAway)
	}
	// A node's number is its own until it has ended (docs/cluster.md).
	last := startOnNATS(t, address, 3, "-drain-delay", "10m")
	_ = last.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "it drains", func() bool { return last.call("GET", "/readyz", "", "").status == 503 })
	rival := prepareOnNATS(t, address, 3)
	rival.cmd.Stdout, rival.cmd.Stderr = rival.out, rival.log
	if err := rival.cmd.Run(); rival.cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(rival.log.String(), "another node") {
		t.Errorf("a node with the number of one that drains: %v %s", err, rival.log)
	}
	eventually(t, "a second signal hurries it", func() bool { // one that comes within oneSignal is still the first
		_ = last.cmd.Process.Signal(syscall.SIGTERM)
		return isClosed(last.exited)
	})
}

// wantAtOnce: it got these events, each once, and nothing but drains sent it away, for a second at most. It returns how
// often.
func (f *returner) wantAtOnce(t *testing.T, want []uint64) (drains int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.seqs, want) {
		t.Errorf("got %v, want %v", f.seqs, want)
	}
	for i, err := range f.ends {
		closed := (*client.CloseError)(nil)
		if !errors.As(err, &closed) || closed.Code != websocket.StatusServiceRestart || f.wait[i] > time.Second {
			t.Errorf("waits %v after %v", f.wait[i], err)
		}
	}
	return len(f.ends)
}

// follow returns when it has the newest event. The client ends with the test, or with end.
func (f *returner) follow(t *testing.T, url string, since uint64) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.run(ctx, url, since) })
	end = func() { cancel(); running.Wait() }
	t.Cleanup(end)
	eventually(t, "a client is in", func() bool { return f.last() > since })
	return end
}

// leftOf are those of the clients that it was told have left, in order.
func (f *returner) leftOf(clients []uint64) (left []uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.left {
		if slices.Contains(clients, id) {
			left = append(left, id)
		}
	}
	slices.Sort(left)
	return left
}

// clientIDs are those of the connected clients, in order.
func (d *daemon) clientIDs() (ids []uint64) {
	d.t.Helper()
	var list struct{ Clients []hub.ClientInfo }
	d.adminCall("GET", "/v1/clients", "", &list)
	for _, c := range list.Clients {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

// startBalancer passes each connection on to the next node that says that it is ready, as those do that are set up as
// docs/cluster.md says. It is where they are when it starts, and their successors come to the same addresses.
func startBalancer(t *testing.T, nodes ...*daemon) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { ln.Close(); all.Wait() })
	all.Go(func() {
		for first := 0; ; first++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				for i := range nodes {
					d := nodes[(first+i)%len(nodes)]
					if r, err := d.tryCall("GET", "/readyz", "", ""); err == nil && r.status == 200 {
						passOn(conn, d.ws)
						return
					}
				}
			})
		}
	})
	return ln.Addr().String()
}

func passOn(conn net.Conn, to string) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	var there sync.WaitGroup
	defer there.Wait()
	// Not from socket to socket: net would splice, and keep the pipes until the collector has run twice.
	there.Go(func() {
		_, _ = io.Copy(struct{ io.Writer }{server}, conn)
		_ = server.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(struct{ io.Writer }{conn}, server)
	_ = conn.(*net.TCPConn).CloseWrite()
}
