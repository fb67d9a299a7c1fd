//go:build !race && !racedaemon

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// What docs/performance.md promises: resident memory stays below the ceiling, half of it for Go's
// garbage, a fixed part, a part for each connection, and what the rows and the change log may take.
const (
	garbageShare   = 2
	fixedPart      = 40 * cli.MiB
	connectionPart = cli.KiB
	testRows       = 8 * cli.MiB
	testLog        = cli.MiB
	smallPulse     = 8 // bytes: a number

	// What can pass the ceiling of -buffer-memory for a moment: what a loop has just read of a client that it closes for it.
	memoryLoops = 2
	oneRead     = 64 * cli.KiB
)

// crowd is clients that take nothing. Safe from any goroutine.
type crowd struct {
	d     *daemon
	http  *http.Client
	mu    sync.Mutex
	conns []net.Conn
}

// eachOf runs f for all numbers below n, on a few goroutines.
func eachOf(n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	all.Wait()
}

// dial opens a connection with a small window and sends the start, without reading anything.
func (x *crowd) dial(i int, start string) {
	c, err := wstest.DialRaw(x.d.t, fmt.Sprint("127.0.1.", 1+i%200), x.d.ws, wstest.SmallWindow)
	if err != nil {
		x.d.t.Errorf("connecting: %v", err)
		return
	}
	_, _ = io.WriteString(c.Conn, start) // refused ones are expected
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conns = append(x.conns, c)
}

// comes has n clients connect that each send something behind their request.
func (x *crowd) comes(n int, sends func(i int) []byte) {
	before := x.d.metric("busbar_clients")
	eachOf(n, func(i int) { x.dial(i, wstest.Request("/")+string(sends(i))) })
	eventually(x.d.t, "clients let in or refused", func() bool {
		let := x.d.metric("busbar_clients") - before
		ended := x.d.metric(`busbar_connections_closed_total{cause="memory"}`) +
			x.d.metric(`busbar_connections_closed_total{cause="overloaded"}`)
		return let+ended >= float64(n)
	})
}

func (x *crowd) leaves() {
	for _, conn := range x.conns {
		conn.Close()
	}
	x.conns = nil
	eventually(x.d.t, "gone", func() bool { return x.d.metric("busbar_connections") <= 1 })
}

// call calls the API with the admin token.
func (x *crowd) call(method, path string, body []byte) (status int, text []byte, err error) {
	r, err := http.NewRequest(method, "http://"+x.d.api+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+x.d.admin)
	answer, err := x.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// publish calls the API until it isn't told to come again.
func (x *crowd) publish(method, path string, body []byte) error {
	for {
		status, text, err := x.call(method, path, body)
		switch {
		case err != nil:
			return err
		case status == http.StatusOK || status == http.StatusNoContent:
			return nil
		case status == http.StatusServiceUnavailable && strings.Contains(string(text), "OVERLOADED"):
			continue
		}
		return fmt.Errorf("%s %s: %d %s", method, path, status, text)
	}
}

// pulse is numbered broadcasts that a healthy client has to get, one after the other: the
// next isn't sent before the last has come. Each also goes to the whole crowd, which costs more than all
// else that the crowd is for: small ones only show that the client is served, and come once a second.
type pulse struct {
	size atomic.Int64
	sent atomic.Int64
	stop chan struct{}
	done chan error
}

func (x *crowd) startPulse() *pulse {
	p := &pulse{stop: make(chan struct{}), done: make(chan error, 1)}
	p.size.Store(smallPulse)
	c := x.d.rawClient("127.0.0.1", "", "")
	go func() {
		defer c.Close()
		for n := uint64(1); ; n++ {
			pause := time.Duration(0)
			if p.size.Load() == smallPulse {
				pause = time.Second
			}
			select {
			case <-p.stop:
				p.done <- nil
				return
			case <-time.After(pause):
			}
			body := binary.BigEndian.AppendUint64(nil, n)
			if err := x.publish("POST", "/v1/broadcast", append(body, make([]byte, p.size.Load()-smallPulse)...)); err != nil {
				p.done <- err
				return
			}
			_ = c.SetDeadline(time.Now().Add(soon))
			if err := nextPulse(c, n); err != nil {
				p.done <- fmt.Errorf("the healthy client, waiting for %d: %w", n, err)
				return
			}
			p.sent.Store(int64(n))
		}
	}()
	return p
}

// nextPulse reads up to number n, past texts: presence of those that have left.
func nextPulse(r io.Reader, n uint64) error {
	for {
		h, err := ws.ReadHeader(r)
		if err != nil {
			return err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			return err
		}
		switch {
		case h.OpCode == ws.OpText || h.OpCode == ws.OpPing:
			continue
		case h.OpCode != ws.OpBinary || len(payload) < 8:
			return fmt.Errorf("opcode %v, %d bytes: %q", h.OpCode, len(payload), payload[:min(len(payload), 80)])
		case binary.BigEndian.Uint64(payload) != n:
			return fmt.Errorf("got %d", binary.BigEndian.Uint64(payload))
		}
		return nil
	}
}

// more waits for so many further pulses, for each of them as long as for anything else.
func (p *pulse) more(t *testing.T, n int64) {
	t.Helper()
	for until := p.sent.Load() + n; p.sent.Load() < until; {
		next := p.sent.Load() + 1
		eventually(t, "a pulse", func() bool {
			if len(p.done) > 0 {
				t.Fatal(<-p.done)
			}
			return p.sent.Load() >= next
		})
	}
}

func clientText(text string) []byte { return []byte(wstest.Frame(ws.OpText, text)) }

// Up to ten thousand clients that take nothing, in every way that costs memory, one after the
// other: large messages for all, each their own messages, snapshots of rows that change,
// messages that never end, upgrade requests that never end. There are ten thousand where each of them
// costs something; else, enough for more than twice the ceiling. Resident memory stays bounded, and who
// reads gets everything, in order. What -slow says of clients that are behind is tried with fewer, for what
// each of them costs is the same, without what ends before a client is one or has said anything, and without a disk.
func TestMemoryIsBounded(t *testing.T) {
	for i, policy := range slowPolicies {
		t.Run(policy, func(t *testing.T) { testMemory(t, policy, i == 0) })
	}
}

func testMemory(t *testing.T, policy string, all bool) {
	const ceiling = 64 * cli.MiB
	size, log := 2000, []string{"-log", "memory", "-log-bytes", strconv.Itoa(testLog)}
	if all {
		size, log = 10_000, []string{"-log-tail", strconv.Itoa(testLog)}
	}
	d := startDaemon(t, append(log, "-auth", "none", "-loops", strconv.Itoa(memoryLoops), "-max-per-ip", "0", "-slow", policy, "-lag-time", "1h", "-lag-bytes", strconv.Itoa(ceiling/4),
		"-buffer-memory", strconv.Itoa(ceiling), "-queue-bytes", "8MiB", "-max-message-out", "7MiB", "-send-buffer", "64KiB",
		"-handshake-timeout", "1m", "-ping-interval", "1h", "-rows-bytes", strconv.Itoa(testRows))...)
	x := &crowd{d: d, http: &http.Client{Transport: new(http.Transport), Timeout: 2 * soon}}
	defer x.http.CloseIdleConnections()
	highest := int64(0)
	stage := func(name string, run func()) {
		t.Helper()
		began := time.Now()
		run()
		used := d.buffered()
		highest = max(highest, used)
		t.Logf("%s: %v, %d MiB buffered, peak resident %d MiB, ended %v, refused %v", name, time.Since(began).Round(time.Millisecond),
			used/cli.MiB, d.peakResident()/cli.MiB, d.metric(`busbar_connections_closed_total{cause="memory"}`),
			d.metric(`busbar_connections_closed_total{cause="overloaded"}`))
		x.leaves()
	}
	p := x.startPulse()
	stage("large messages for all", func() {
		x.comes(size, func(int) []byte { return nil })
		p.size.Store(cli.MiB)
		p.more(t, 24) // more than may wait for one of them
		p.size.Store(smallPulse)
	})
	stage("messages for each", func() {
		const each = 600
		x.comes(each, func(i int) []byte {
			return clientText(fmt.Sprintf(`{"type":"subscribe","topic":"t%d"}`, i))
		})
		body := []byte(`{"audience":{"topic":"t%d"},"entity":"E","row_id":"r","kind":"update","data":"` + strings.Repeat("x", 256*cli.KiB) + `"}`)
		eachOf(each, func(i int) { // more than twice the ceiling
			if err := x.publish("POST", "/v1/changes", bytes.Replace(body, []byte("%d"), []byte(strconv.Itoa(i)), 1)); err != nil {
				t.Error(err)
			}
		})
	})
	stage("snapshots of rows that change", func() {
		for n := range 40 {
			if err := x.publish("PUT", "/v1/rows/E/big", bytes.Repeat([]byte{byte(n)}, 4*cli.MiB)); err != nil {
				t.Error(err)
			}
			x.comes(5, func(int) []byte { return clientText(`{"type":"crdt-subscribe","entity":"E","rowId":"big"}`) })
		}
	})
	if all {
		stage("messages that never end", func() {
			half := ws.Header{OpCode: ws.OpText, Masked: true, Length: 60 * cli.KiB}
			begun := append(bytes.Repeat([]byte{'x'}, 59*cli.KiB), 0)
			x.comes(2500, func(int) []byte { // more than twice the ceiling, too
				var frame bytes.Buffer
				_ = ws.WriteHeader(&frame, half)
				return append(frame.Bytes(), begun[:59*cli.KiB]...)
			})
		})
		stage("requests that never end", func() {
			start := strings.TrimSuffix(wstest.Request("/"), "\r\n") + "X-Filler: " + strings.Repeat("x", 15*cli.KiB)
			eachOf(size, func(i int) { x.dial(i, start) })
		})
	}
	p.more(t, 3)
	close(p.stop)
	if err := <-p.done; err != nil {
		t.Error(err)
	}
	if ended := d.metric(`busbar_connections_closed_total{cause="memory"}`); ended == 0 {
		t.Error("the ceiling was never reached: nothing is shown")
	}
	eventually(t, "what is left is freed", func() bool { // the collector runs when there is something new
		if err := x.publish("POST", "/v1/presence", []byte(`{"x":"`+strings.Repeat("x", cli.MiB)+`"}`)); err != nil {
			t.Fatal(err)
		}
		return d.buffered() < ceiling/8
	})
	bound := ceiling + ceiling/garbageShare + fixedPart + connectionPart*size + testRows + testLog
	peak := d.peakResident()
	t.Logf("peak resident %d MiB, at most %d MiB are promised", peak/cli.MiB, bound/cli.MiB)
	if peak > bound {
		t.Errorf("resident memory was up to %d MiB, at most %d MiB are promised", peak/cli.MiB, bound/cli.MiB)
	}
	if highest > ceiling+memoryLoops*oneRead {
		t.Errorf("%d bytes were buffered, the ceiling is %d and a read for each loop", highest, ceiling)
	}
}

// buffered is the budget's sum.
func (d *daemon) buffered() (sum int64) {
	d.t.Helper()
	for line := range strings.Lines(d.call("GET", "/metrics", d.admin, "").body) {
		if rest, ok := strings.CutPrefix(line, "busbar_buffered_bytes{"); ok {
			var n float64
			_, value, _ := strings.Cut(rest, "} ")
			if _, err := fmt.Sscan(value, &n); err != nil {
				d.t.Fatalf("metric %q: %v", line, err)
			}
			sum += int64(n)
		}
	}
	return sum
}
