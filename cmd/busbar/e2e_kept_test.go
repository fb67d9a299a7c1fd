//go:build !race && !racedaemon

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// keptConstant is what resident memory may grow by besides what is counted: sockets' buffers of the
// runtime, stacks, what is being worked on.
const keptConstant = 32 * cli.MiB

// kept is one kind of thing that is kept for clients or from them. Whoever makes a new one adds a row.
type kept struct {
	args   []string
	bounds int // what flags bound it by besides -buffer-memory, in bytes
	fill   func(x *crowd)
}

// service is one that the daemon asks. What it answers is up to the test, until whose end it may hang.
func service(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, over <-chan struct{})) string {
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r, over) }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(over) })
	return s.URL
}

// Each kind of thing that is kept for clients or from them, as much of it as they like: resident memory
// grows by what is counted, half of that for Go's garbage, and a constant.
func TestEverythingKeptIsCounted(t *testing.T) {
	hang := func(r *http.Request, over <-chan struct{}) {
		_, _ = io.Copy(io.Discard, r.Body) // or it isn't noticed that the daemon has gone
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}
	hangs := service(t, func(_ http.ResponseWriter, r *http.Request, over <-chan struct{}) { hang(r, over) })
	var questions sync.Map
	answersOnce := service(t, func(_ http.ResponseWriter, r *http.Request, over <-chan struct{}) {
		question, _ := io.ReadAll(r.Body)
		if _, again := questions.LoadOrStore(string(question), true); again {
			hang(r, over)
		}
	})
	stopsShort := service(t, func(w http.ResponseWriter, r *http.Request, over <-chan struct{}) {
		if r.URL.RawQuery == "sized" {
			w.Header().Set("Content-Length", strconv.Itoa(256*cli.KiB))
		}
		_, _ = w.Write(make([]byte, 256*cli.KiB-1))
		_ = http.NewResponseController(w).Flush()
		hang(r, over)
	})
	halfALine := service(t, func(w http.ResponseWriter, r *http.Request, over <-chan struct{}) {
		_, _ = fmt.Fprintf(w, `{"begin":1}`+"\n"+`{"seq":1,"data":"%s`, strings.Repeat("x", 256*cli.KiB))
		_ = http.NewResponseController(w).Flush()
		hang(r, over)
	})
	// Each client wants a few rows, with names of some length.
	rows := func(n, each int) func(x *crowd) {
		return func(x *crowd) {
			x.comes(n, func(i int) []byte {
				var all []byte
				for row := range each {
					all = append(all, clientText(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"E","rowId":"%d-%d %s"}`, i, row, strings.Repeat("x", 4000)))...)
				}
				return all
			})
		}
	}
	// What is kept outside the loops comes to so much, or clients had to go for it.
	outside := func(bytes float64, fill func(x *crowd)) func(x *crowd) {
		return func(x *crowd) {
			fill(x)
			eventually(x.d.t, "it is counted", func() bool {
				return x.d.metric(`busbar_buffered_bytes{kind="outside"}`) >= bytes || x.d.metric(`busbar_connections_closed_total{cause="memory"}`) > 0
			})
		}
	}
	large := service(t, func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		_, _ = w.Write(make([]byte, 4*cli.MiB))
	})
	request := wstest.Request("/?filler="+strings.Repeat("x", 7000), "Authorization: Bearer token%d")
	for name, k := range map[string]kept{
		"names of subscriptions": {fill: func(x *crowd) {
			x.comes(16, func(i int) []byte {
				var all bytes.Buffer
				for n := range 5000 {
					all.Write(clientText(fmt.Sprintf(`{"type":"subscribe","topic":"%d %d %s"}`, i, n, strings.Repeat("x", 480))))
				}
				return all.Bytes()
			})
		}},
		"requests that wait": {args: []string{"-auth", "http", "-auth-url", hangs, "-auth-timeout", "1m"}, fill: func(x *crowd) {
			eachOf(4000, func(i int) { x.dial(i, fmt.Sprintf(request, i)) })
		}},
		"requests whose clients have gone": {args: []string{"-auth", "http", "-auth-url", hangs, "-auth-timeout", "1m"}, fill: func(x *crowd) {
			eachOf(6000, func(i int) {
				if c, err := wstest.DialRaw(x.d.t, "127.0.0.1", x.d.ws); err == nil {
					_, _ = fmt.Fprintf(c.Conn, request, i)
					c.Close()
				}
			})
			eventually(x.d.t, "all are gone", func() bool { return x.d.metric("busbar_connections") <= 1 })
		}},
		"the API's requests that wait": {args: []string{"-auth", "http", "-auth-url", hangs, "-auth-timeout", "1m"}, fill: outside(cli.MiB, func(x *crowd) {
			eachOf(400, func(i int) {
				if c, err := wstest.DialRaw(x.d.t, fmt.Sprint("127.0.1.", 1+i%200), x.d.api); err == nil {
					_, _ = fmt.Fprintf(c.Conn, "GET /api/sync/pull HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %d%s\r\n\r\n", i, strings.Repeat("x", 7000))
				}
			})
		})},
		"fetches that wait":     {args: []string{"-rows-url", hangs, "-rows-timeout", "1m"}, fill: outside(4*cli.MiB, rows(1000, 4))},
		"rechecks that wait":    {args: []string{"-rows-url", answersOnce, "-rows-timeout", "1m", "-rows-recheck", "1s"}, fill: outside(4*cli.MiB, rows(1500, 1))},
		"payloads being read":   {args: []string{"-rows-url", stopsShort + "?sized", "-rows-timeout", "1m"}, fill: outside(4*cli.MiB, rows(64, 1))},
		"payloads of no length": {args: []string{"-rows-url", stopsShort, "-rows-timeout", "1m"}, fill: outside(6*cli.MiB, rows(64, 1))},
		"views being read": {args: []string{"-snapshot-url", halfALine, "-snapshot-timeout", "1m"}, fill: outside(6*cli.MiB, func(x *crowd) {
			eachOf(1000, func(i int) { x.dial(i, wstest.Request("/?since=0")) })
		})},
		"clients that catch up": {args: []string{"-log-tail", "4MiB"}, bounds: 4 * cli.MiB, fill: func(x *crowd) {
			eachOf(20, func(i int) {
				x.must("POST", "/v1/changes", fmt.Appendf(nil, `{"entity":"E","row_id":"%d","kind":"update","data":"%s"}`, i, strings.Repeat("x", 128*cli.KiB)))
			})
			eachOf(1000, func(i int) { x.dial(i, wstest.Request("/?since=0")) })
			eventually(x.d.t, "all are let in or refused", func() bool {
				return x.d.metric("busbar_clients")+x.d.metric(`busbar_connections_closed_total{cause="memory"}`)+
					x.d.metric(`busbar_connections_closed_total{cause="overloaded"}`) >= 1000
			})
		}},
		"snapshots being fetched": {args: []string{"-rows-url", large, "-rows-timeout", "1m"}, fill: func(x *crowd) {
			x.comes(64, func(i int) []byte {
				return clientText(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"E","rowId":"%d"}`, i))
			})
			eventually(x.d.t, "all are fetched", func() bool { return x.d.metric("busbar_clients") == 0 || x.d.buffered() > 8*cli.MiB })
		}},
		"stored rows": {args: []string{"-rows-bytes", strconv.Itoa(testRows)}, bounds: testRows, fill: func(x *crowd) {
			eachOf(100, func(i int) { x.must("PUT", fmt.Sprintf("/v1/rows/E/%d", i), make([]byte, 256*cli.KiB)) })
		}},
		"the change log": {args: []string{"-log-tail", "8MiB"}, bounds: 8 * cli.MiB, fill: func(x *crowd) {
			eachOf(60, func(i int) {
				x.must("POST", "/v1/changes", fmt.Appendf(nil, `{"entity":"E","row_id":"%d","kind":"update","data":"%s"}`, i, strings.Repeat("x", 256*cli.KiB)))
			})
		}},
		"pages of pulls": {args: []string{"-log-tail", "4MiB"}, bounds: 4 * cli.MiB, fill: func(x *crowd) {
			eachOf(20, func(i int) {
				x.must("POST", "/v1/changes", fmt.Appendf(nil, `{"entity":"E","row_id":"%d","kind":"update","data":"%s"}`, i, strings.Repeat("x", 256*cli.KiB)))
			})
			eachOf(100, func(i int) {
				c, err := wstest.DialRaw(x.d.t, fmt.Sprint("127.0.1.", 1+i), x.d.api, wstest.SmallWindow)
				if err != nil {
					x.d.t.Error(err)
					return
				}
				c.Say("GET /api/sync/pull HTTP/1.1\r\nHost: x\r\n\r\n")
				_, _ = c.R.ReadByte() // the answer has begun, and isn't read
			})
		}},
		"op ids": {args: []string{"-log-tail", strconv.Itoa(testLog)}, bounds: testLog, fill: func(x *crowd) {
			var lines bytes.Buffer
			for n := range 12_000 {
				fmt.Fprintf(&lines, `{"entity":"E","row_id":"r","kind":"update","op_id":"%d%s"}`+"\n", n, strings.Repeat("x", 250))
			}
			if got := x.d.call("POST", "/v1/changes", x.d.admin, lines.String(), "Content-Type", "application/x-ndjson"); got.status != http.StatusOK {
				x.d.t.Error(got)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k.check(t)
		})
	}
}

// must publishes.
func (x *crowd) must(method, path string, body []byte) {
	if err := x.publish(method, path, body); err != nil {
		x.d.t.Error(err)
	}
}

func (k *kept) check(t *testing.T) {
	const ceiling = 32 * cli.MiB
	args := []string{"-auth", "none", "-max-per-ip", "0", "-buffer-memory", strconv.Itoa(ceiling), "-queue-bytes", "8MiB",
		"-max-message-out", "4MiB", "-lag-bytes", "8MiB", "-lag-time", "1h", "-handshake-timeout", "1m"}
	d := startDaemon(t, append(args, k.args...)...)
	x := &crowd{d: d, http: &http.Client{Transport: new(http.Transport), Timeout: 2 * soon}}
	defer x.http.CloseIdleConnections()
	before := d.peakResident()
	k.fill(x)
	counted := int(d.buffered()) + k.bounds
	if d.metric(`busbar_connections_closed_total{cause="memory"}`)+d.metric(`busbar_connections_closed_total{cause="overloaded"}`) > 0 {
		counted = max(counted, ceiling)
	}
	grown, most := d.peakResident()-before, counted+counted/garbageShare+keptConstant
	t.Logf("resident memory grew by %d KiB, %d are counted", grown/cli.KiB, counted/cli.KiB)
	if grown > most {
		t.Errorf("resident memory grew by %d KiB, of which %d are counted: at most %d", grown/cli.KiB, counted/cli.KiB, most/cli.KiB)
	}
}
