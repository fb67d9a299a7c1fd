//go:build !race && !racedaemon

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/client"
)

// beginLater starts a server that can't serve yet, and returns once its log says that it waits. serving waits until it does.
func (d *daemon) beginLater() (serving func()) {
	d.t.Helper()
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.log
	if err := d.cmd.Start(); err != nil {
		close(d.exited)
		d.t.Fatal(err)
	}
	d.t.Cleanup(d.cleanUp)
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	d.waitOutput(d.log, "line about waiting", func(text string) bool { return strings.Contains(text, "another server has the data directory") })
	return d.readAnnouncement
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// returner notes the change events that a client of package client is given, over as many connections as that takes.
type returner struct {
	mu   sync.Mutex
	seqs []uint64
	wait []time.Duration // before each connection but the first
	ends []error         // of each connection
	left []uint64        // clients, as presence says
}

func (f *returner) run(ctx context.Context, url string, since uint64) {
	_ = client.New(url, client.Options{
		Token: client.Token("x"), Since: &since, MinDelay: 20 * time.Millisecond, MaxDelay: 200 * time.Millisecond,
		Handle: func(_ context.Context, m client.Message) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if m.Change != nil {
				f.seqs = append(f.seqs, m.Change.Seq)
			}
			if m.Type == "presence" {
				f.left = append(f.left, leftBy(m.Data)...)
			}
			return nil
		},
		State: func(s client.State) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if s.Phase == client.Waiting {
				f.wait, f.ends = append(f.wait, s.Delay), append(f.ends, s.Err)
			}
		},
	}).Run(ctx)
}

// leftBy are the clients that a presence message says have left.
func leftBy(presence []byte) []uint64 {
	var m struct {
		Event     string
		ClientID  uint64   `json:"clientId"`
		ClientIDs []uint64 `json:"clientIds"`
	}
	if json.Unmarshal(presence, &m) != nil || m.Event != "disconnect" {
		return nil
	}
	if len(m.ClientIDs) > 0 {
		return m.ClientIDs // the first is ClientID
	}
	return []uint64{m.ClientID}
}

func (f *returner) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seqs) == 0 {
		return 0
	}
	return f.seqs[len(f.seqs)-1]
}

// docs/protocol.md section 7, One server after another: a successor on the same ports and data serves within a second of its
// predecessor's last client, and with their cursors clients miss nothing of what is published all the while.
func TestSuccessorTakesOver(t *testing.T) {
	t.Parallel()
	const clients, most = 30, time.Second
	args := []string{"-auth", "none", "-max-per-ip", "0", "-drain", "1s"}
	var gap time.Duration
	for try := 0; try == 0 || gap > most && try < 3; try++ { // a busy machine may be late, a slow start is late each time
		d := onOwnAddress(t)
		d.stop()
		d = d.restart(args...)
		since := d.publish("first")
		var followers [clients]returner
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i := range followers {
			running.Go(func() { followers[i].run(ctx, d.url(""), since-1) })
		}
		for i := range followers {
			eventually(t, "all are in", func() bool { return followers[i].last() == since })
		}
		next := launch{args: append([]string{"-data", d.dir, "-listen", d.ws, "-api", d.api, "-lock-wait", "1m"}, args...)}.prepare(t)
		serving := next.beginLater()
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		var last uint64
		var refused, again time.Time          // zero: the gap is shorter than the time between two calls
		for published := 0; published < 50; { // as a publisher does: what isn't answered with 200 is tried again
			ended := isClosed(d.exited)
			r, err := d.tryCall("POST", "/v1/changes", d.admin, fmt.Sprintf(`{"entity":"T","row_id":"%d","kind":"delete","op_id":"%d"}`, published, published))
			var got struct{ Seq uint64 }
			if err == nil && r.status == 200 && json.Unmarshal([]byte(r.body), &got) == nil {
				if last = got.Seq; !refused.IsZero() && again.IsZero() {
					again = time.Now()
				}
				if ended {
					published++
				}
			} else if refused.IsZero() {
				refused = time.Now()
			}
			time.Sleep(5 * time.Millisecond) // the publisher's pace
		}
		serving()
		for i := range followers {
			f := &followers[i]
			eventually(t, "all are back and have everything", func() bool { return f.last() == last })
			for n, seq := range f.seqs {
				if seq != since+uint64(n) {
					t.Fatalf("client %d got %d behind %d", i, seq, since+uint64(n)-1)
				}
			}
			if len(f.wait) == 0 || f.wait[0] < time.Second {
				t.Errorf("client %d waited for %v", i, f.wait)
			}
		}
		cancel()
		running.Wait()
		gap = again.Sub(refused)
		t.Logf("nobody was served for %v", gap)
		next.stop()
	}
	if gap > most {
		t.Errorf("nobody was served for %v", gap)
	}
}

// While a server drains another one waits for its data without being told to; otherwise it is refused.
func TestSuccessorWaitsForADrain(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "-auth", "none", "-drain-delay", "10m")
	out, errs, code := launch{args: []string{"-data", d.dir, "-listen", "127.0.0.1:0", "-api", "127.0.0.1:0"}}.run(t)
	if code != exitFailure || !strings.Contains(errs, "another busbar serves from") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "draining", func() bool { return d.call("GET", "/readyz", "", "").status == 503 })
	signalled := time.Now()
	next := launch{args: []string{"-data", d.dir}}.prepare(t)
	serving := next.beginLater()
	<-time.After(oneSignal - time.Since(signalled)) // before that it would be the first one again
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	serving()
	d.waitExit()
}
