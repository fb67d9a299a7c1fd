package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// drained is what one client saw of a drain.
type drained struct {
	seqs   []uint64
	code   ws.StatusCode
	reason string
	at     time.Time // of the Close
}

// watch has n clients note what they get until they are closed. wait returns it, in the order of the Closes.
func (d *daemon) watch(n int) (wait func() []drained) {
	d.t.Helper()
	all := make([]drained, n)
	var reading sync.WaitGroup
	for i := range all {
		c := d.rawClient("127.0.0.1", "", "")
		reading.Go(func() { all[i] = untilClosed(c) })
	}
	return func() []drained {
		reading.Wait()
		slices.SortFunc(all, func(a, b drained) int { return a.at.Compare(b.at) })
		return all
	}
}

// untilClosed reads change events up to a Close, and answers that.
func untilClosed(c *wstest.Raw) (saw drained) {
	for {
		f, err := c.Next()
		if err != nil {
			return saw
		}
		switch f.Header.OpCode {
		case ws.OpText:
			var m struct{ Seq uint64 }
			if json.Unmarshal(f.Payload, &m) == nil && m.Seq > 0 {
				saw.seqs = append(saw.seqs, m.Seq)
			}
		case ws.OpClose:
			saw.at = time.Now()
			saw.code, saw.reason = ws.ParseCloseFrameData(f.Payload)
			c.Close()
			return saw
		}
	}
}

// docs/protocol.md section 7, Signals: a drain's steps, seen from outside. Balancers are told first; then clients go at an
// even pace, each behind what it is owed and with its own time to come back; those who stay miss nothing, and
// publishers are answered until the last has gone.
func TestPacedDrain(t *testing.T) {
	t.Parallel()
	const clients, loops, delay, drain = 60, 3, 1500 * time.Millisecond, 2 * time.Second
	const pace = drain - drain/4 // the rest is for answers
	d := startDaemon(t, "-auth", "none", "-loops", fmt.Sprint(loops), "-max-per-ip", "0", "-drain", drain.String(), "-drain-delay", delay.String())
	wait := d.watch(clients - 1)
	signalled := time.Now()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "balancers are told", func() bool { return d.call("GET", "/readyz", "", "").status == 503 })
	late := d.watch(1) // a newcomer, which is served
	first := d.publish("r")
	last, refusedAt := first, time.Time{}
	var refusal reply
	for refusedAt.IsZero() {
		r, err := d.tryCall("POST", "/v1/changes", d.admin, `{"entity":"T","row_id":"r","kind":"delete"}`)
		switch {
		case err != nil || r.status != 200:
			refusal, refusedAt = r, time.Now()
		default:
			var got struct{ Seq uint64 }
			if err := json.Unmarshal([]byte(r.body), &got); err != nil || got.Seq != last+1 {
				t.Fatalf("got %s, want seq %d", r.body, last+1)
			}
			last = got.Seq
		}
	}
	if refusal.status != 0 && !strings.Contains(refusal.body, `"DRAINING"`) { // 0: the API has ended already
		t.Errorf("publishing to nobody: %d %s", refusal.status, refusal.body)
	}
	if early := signalled.Add(delay + pace*(clients-loops)/clients).Sub(refusedAt); early > 0 {
		t.Errorf("publishing was refused %v before the last client had gone", early)
	}
	all := append(wait(), late()...)
	slices.SortFunc(all, func(a, b drained) int { return a.at.Compare(b.at) })
	reasons, most := map[string]bool{}, 0
	for n, c := range all {
		if due := signalled.Add(delay + pace*time.Duration(n-loops)/clients); c.code != wsproto.StatusServiceRestart || c.at.Before(due) {
			t.Errorf("client %d: closed with %d, %v early", n, c.code, due.Sub(c.at))
		}
		after, ok := wsproto.ParseReconnectAfter(c.reason)
		if back := c.at.Sub(signalled) + after; !ok || back < delay+pace || back > delay+2*pace+time.Second+soon {
			t.Errorf("client %d is to be back %v after the signal: %q", n, back, c.reason)
		}
		reasons[c.reason] = true
		for i, seq := range c.seqs {
			if seq != first+uint64(i) {
				t.Fatalf("client %d: got %v, want all from %d", n, c.seqs, first)
			}
		}
		most = max(most, len(c.seqs))
	}
	if published := int(last - first + 1); most < published/2 || most > published || len(reasons) < 10 {
		t.Errorf("the client that stayed longest got %d of %d; %d different reasons", most, published, len(reasons))
	}
	d.waitExit()
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// docs/protocol.md section 7, Signals: a second signal has all who are left closed at once, and newcomers are refused with a time
// to come back while the drain goes on.
func TestSecondSignalHurriesTheDrain(t *testing.T) {
	t.Parallel()
	const clients = 500 // 20 a second: 25 seconds
	d := startDaemon(t, "-auth", "none", "-max-per-ip", "0", "-drain", "10m")
	wait := d.watch(clients)
	began := time.Now()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "newcomers are refused", func() bool {
		c, err := wstest.DialRaw(t, "127.0.0.1", d.ws)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Say(wstest.Request("/"))
		return c.Status() == 503
	})
	if seq := d.publish("r"); seq == 0 {
		t.Error("publishing isn't answered")
	}
	<-time.After(oneSignal) // before that it would be the first one again
	_ = d.cmd.Process.Signal(syscall.SIGINT)
	for n, c := range wait() {
		if c.code != wsproto.StatusServiceRestart {
			t.Errorf("client %d: closed with %d", n, c.code)
		}
	}
	d.waitExit()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v, nearly as long as without hurry", took)
	}
}
