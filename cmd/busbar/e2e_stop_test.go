package main

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// slack is what a stop may take besides -drain. A client that doesn't answer is let go of after 3 s in any
// case, so more than that would show nothing.
const slack = 2 * time.Second

// withinSlack wants stop, which returns how long one took besides -drain, to be quick once of a few times: a
// machine with other things to do may be late now and then, a server that waits is late every time.
func withinSlack(t *testing.T, stop func() time.Duration) {
	t.Helper()
	var took time.Duration
	for range 4 {
		if took = stop(); took <= slack {
			return
		}
		t.Logf("a stop took %v", took)
	}
	t.Errorf("no stop took less than %v", slack)
}

// docs/protocol.md section 3: a server that ends tells its clients 1012, behind all that it owes them, and exits with 0.
func TestStopTellsTheClients(t *testing.T) {
	withinSlack(t, func() time.Duration { return stopTellsTheClients(t) })
}

func stopTellsTheClients(t *testing.T) (took time.Duration) {
	d := startDaemon(t, "-drain", "20s")
	token := d.session("alice")
	var clients []peer
	for _, start := range peers {
		c := start(t, d.url(""), token, "header")
		c.waitEvent(soon, "open")
		clients = append(clients, c)
	}
	first := d.publishMany(200)
	took = d.stop()
	for _, c := range clients {
		for want := first; want < first+200; want++ {
			if got := waitChange(c).Seq; got != want {
				t.Fatalf("before the end: seq %d, want %d", got, want)
			}
		}
		if reason := waitClose(t, c, 1012); !strings.HasPrefix(reason, "reconnect-after=") {
			t.Errorf("reason %q", reason)
		}
	}
	return took
}

// -drain bounds the stop, whatever clients do.
func TestStopWithClientsThatDoNotAnswer(t *testing.T) {
	for _, drain := range []time.Duration{0, 500 * time.Millisecond} {
		t.Run(drain.String(), func(t *testing.T) {
			withinSlack(t, func() time.Duration {
				d := startDaemon(t, "-drain", drain.String())
				d.rawClient("127.0.0.1", d.session("alice"), "")
				halfOpen, err := net.Dial("tcp", d.ws) // and one that never asks for an upgrade
				if err != nil {
					t.Fatal(err)
				}
				defer halfOpen.Close()
				return d.stop() - drain
			})
		})
	}
}

// timeout(1) signals a process and its group: that is one signal.
func TestSignalsThatComeTogetherAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		ctx, cancel := drainContext(time.Minute, time.Now(), signals)
		defer cancel()
		signals <- syscall.SIGINT
		synctest.Wait()
		if ctx.Err() != nil {
			t.Error("a signal that came with the first one ended the drain")
		}
		<-time.After(oneSignal) // of the bubble's clock
		signals <- syscall.SIGINT
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("a later one didn't")
		}
	})
}

// A drain for another reason than a signal is ended by the first one.
func TestSignalEndsADrainThatNoSignalBegan(t *testing.T) {
	signals := make(chan os.Signal, 1)
	ctx, cancel := drainContext(time.Hour, time.Time{}, signals)
	defer cancel()
	signals <- syscall.SIGTERM
	select {
	case <-ctx.Done():
	case <-time.After(soon):
		t.Error("it goes on")
	}
}

// A second signal ends the wait.
func TestSecondSignalEndsTheWait(t *testing.T) {
	withinSlack(t, func() time.Duration {
		d := startDaemon(t, "-drain", "10m", "-pong-timeout", "10m")
		d.rawClient("127.0.0.1", d.session("alice"), "")
		start := time.Now()
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		d.waitOutput(d.log, "line about draining", func(text string) bool { return text != "" })
		<-time.After(oneSignal) // before that it would be the first one again
		_ = d.cmd.Process.Signal(syscall.SIGINT)
		d.waitExit()
		if code := d.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		return time.Since(start)
	})
}

// A start that waits for a key server is ended by a signal as a server is, and at once.
func TestSignalEndsAStart(t *testing.T) {
	keys, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	log := newOutput()
	cmd := launch{args: []string{"-data", t.TempDir(), "-listen", "127.0.0.1:0", "-api", "127.0.0.1:0",
		"-auth", "jwt", "-jwt-jwks", "http://" + keys.Addr().String()}}.command()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	asked, err := keys.Accept() // and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(log.String(), "while it was starting") {
		t.Errorf("exit code %d, log:\n%s", code, log.String())
	}
}

// rawClient is a connection from source, upgraded and not read from yet. It ends with the test.
func (d *daemon) rawClient(source, token, query string) *wstest.Raw {
	d.t.Helper()
	c, err := d.dialFrom(source, token, query)
	if err != nil {
		d.t.Fatalf("connecting from %s: %v\n%s", source, err, d.transcript())
	}
	return c
}

func (d *daemon) dialFrom(source, token, query string) (*wstest.Raw, error) {
	c, err := wstest.DialRaw(d.t, source, d.ws)
	if err != nil {
		return nil, err
	}
	return c, c.Upgrade("/"+query, "Authorization: Bearer "+token)
}

// docs/protocol.md section 5: while a server waits for its clients to go, it isn't ready, and publishers are told that they publish to
// nobody.
func TestPublishingWhileDraining(t *testing.T) {
	d := startDaemon(t, "-drain", "1m")
	silent := d.rawClient("127.0.0.1", d.session("alice"), "") // it doesn't answer the server's Close
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "everybody's Close is out", func() bool { return d.call("POST", "/v1/presence", d.admin, `{}`).status == 503 })
	for call, body := range map[string]string{
		"POST /v1/changes":   `{"entity":"T","row_id":"1","kind":"delete"}`,
		"POST /v1/presence":  `{}`,
		"POST /v1/topics/t":  `1`,
		"PUT /v1/rows/T/1":   "",
		"POST /v1/broadcast": "",
		"GET /readyz":        "",
	} {
		method, path, _ := strings.Cut(call, " ")
		if r := d.call(method, path, d.admin, body); r.status != 503 || !strings.Contains(r.body, `"DRAINING"`) {
			t.Errorf("%s: %d %s", call, r.status, r.body)
		}
	}
	silent.Close()
	d.waitExit()
}
