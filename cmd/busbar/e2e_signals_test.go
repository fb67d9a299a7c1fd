package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// The others end nothing; SIGHUP has the configuration read again, also when there is no file.
func TestSignalsThatEndNothing(t *testing.T) {
	d := startDaemon(t)
	c := d.connect(d.session("alice"))
	for _, sig := range []os.Signal{syscall.SIGPIPE, syscall.SIGXFSZ, syscall.SIGPROF, syscall.SIGWINCH, syscall.SIGHUP} {
		if err := d.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	d.waitOutput(d.log, "line about SIGHUP", func(text string) bool { return strings.Contains(text, "the configuration was read again") })
	if seq := d.publish("t_1"); waitChange(c).Seq != seq {
		t.Error("a client missed an event")
	}
	d.stop()
	waitClose(t, c, 1012)
}

// Clients that are behind and take what comes stay when the server was stopped for longer than they
// may take nothing: it was the server that sent nothing.
func TestStoppedServerKeepsItsLaggards(t *testing.T) {
	t.Parallel()
	const lagTime, clients, changes = 2 * time.Second, 4, 64
	d := startDaemon(t, "-auth", "none", "-send-buffer", "8KiB", "-lag-time", lagTime.String(), "-lag-bytes", "16MiB")
	var behind [clients]*wstest.Raw
	for i := range behind {
		c, err := wstest.DialRaw(t, "", d.ws, wstest.SmallWindow)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Upgrade("/"); err != nil {
			t.Fatal(err)
		}
		behind[i] = c
	}
	eventually(t, "all are in", func() bool { return d.metric("busbar_clients") == clients })
	change := fmt.Sprintf(`{"entity":"E","row_id":"r","kind":"update","data":"%s"}`+"\n", strings.Repeat("x", 64*cli.KiB))
	var working sync.WaitGroup
	defer working.Wait()
	working.Go(func() {
		got, err := d.tryCall("POST", "/v1/changes", d.admin, strings.Repeat(change, changes), "Content-Type", "application/x-ndjson")
		if err != nil || got.status != 200 {
			t.Errorf("publishing: %v %v", got, err)
		}
	})
	for _, c := range behind {
		working.Go(func() {
			for got := range changes {
				if f, err := ws.ReadFrame(c.R); err != nil || f.Header.OpCode != ws.OpText {
					t.Errorf("after %d changes: %v %.99q, %v", got, f.Header, f.Payload, err)
					return
				}
				time.Sleep(lagTime / 20) // the pace at which it takes what comes
			}
		})
	}
	eventually(t, "all are behind", func() bool { return d.metric("busbar_clients_lagging") == clients })
	signal := func(s syscall.Signal) {
		if err := d.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	time.Sleep(2 * lagTime) // is what is tested
	signal(syscall.SIGCONT)
	working.Wait()
	if n := d.metric("busbar_clients"); n != clients {
		t.Errorf("%v clients are left", n)
	}
}
