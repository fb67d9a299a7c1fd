package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// floods are what strangers, or publishers who have gone wrong, send on each of many connections to the API.
// None of it is a whole request, but for the first.
var floods = map[string]string{
	"idle":                "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	"silent":              "",
	"half a header":       "POST /v1/changes HTTP/1.1\r\nHost: x\r\nX-A: ",
	"slow publishers":     "POST /v1/changes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n{",
	"slow strangers":      "POST /v1/changes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nContent-Length: 1000\r\n\r\n{",
	"slow bodies, chunks": "POST /v1/broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	"scrapes by nobody":   "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nAuthorization: Bearer wrong\r\n\r\n",
}

// Whatever holds connections to the API, probes and scrapes are answered, clients are let in and get what is
// relayed, and publishers are served, unless others with the admin token have all of their places: then as soon
// as these have gone.
func TestProbesWhileTheAPIIsFlooded(t *testing.T) {
	d := launch{descriptors: 400, args: []string{"-max-per-ip", "0"}}.start(t) // 25 connections to the API
	token := d.session("alice")
	for name, text := range floods {
		t.Run(name, func(t *testing.T) {
			publishers := strings.Contains(text, "%s")
			if publishers {
				text = fmt.Sprintf(text, d.admin)
			}
			var held []net.Conn
			for range 100 {
				held = append(held, d.hold(text))
				if !publishers {
					d.wantPublished()
				}
			}
			d.wantProbes()
			c := d.connect(token)
			c.send(`{"type":"presence","event":"` + name + `"}`)
			c.wait(soon, "the relay", func(e clientEvent) bool { return strings.Contains(e.Data, name) })
			d.wantProbes()
			for _, conn := range held {
				conn.Close()
			}
			eventually(t, "publishing", func() bool {
				return d.call("POST", "/v1/presence", d.admin, `{"type":"presence"}`).status == 204
			})
		})
	}
}

// Strangers call without end, each time with another invented token or with none. Publishing is never refused for
// it; a new connection may have to go before its request is read, and one that has published never has to.
func TestPublishingBesideStrangers(t *testing.T) {
	d := launch{descriptors: 400}.start(t) // 25 connections to the API
	const calls = "GET /api/sync/pull HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %[1]d\r\n\r\n" +
		"POST /v1/changes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x%[1]d\r\nContent-Length: 2\r\n\r\n{}" +
		"GET /demo HTTP/1.1\r\nHost: x\r\n\r\n"
	var over atomic.Bool
	var called atomic.Int64 // connections of strangers that ended
	var strangers sync.WaitGroup
	defer strangers.Wait()
	defer over.Store(true)
	for i := range 64 {
		strangers.Go(func() {
			for n := i; !over.Load(); n += 64 {
				conn, err := net.DialTimeout("tcp", d.api, soon)
				if err != nil {
					continue
				}
				_ = conn.SetDeadline(time.Now().Add(soon))
				_, _ = fmt.Fprintf(conn, calls, n)
				_, _ = conn.Read(make([]byte, 1))
				conn.Close()
				called.Add(1)
			}
		})
	}
	var conn net.Conn
	var answers *bufio.Reader
	publish := func() (status int) {
		_ = conn.SetDeadline(time.Now().Add(soon))
		_, _ = fmt.Fprintf(conn, "POST /v1/presence HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 19\r\n\r\n"+
			`{"type":"presence"}`, d.admin)
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return 0
		}
		return answer.StatusCode
	}
	eventually(t, "publishing", func() bool {
		conn = d.hold("")
		answers = bufio.NewReader(conn)
		status := publish()
		if status != 0 && status != 204 {
			t.Errorf("publishing: %d", status)
		}
		return status == 204
	})
	for until := called.Load() + 1000; called.Load() < until; {
		if status := publish(); status != 204 {
			t.Fatalf("publishing again on a connection: %d", status)
		}
	}
}

// wantPublished publishes once, on a connection of its own.
func (d *daemon) wantPublished() {
	d.t.Helper()
	if r := d.call("POST", "/v1/presence", d.admin, `{"type":"presence"}`); r.status != 204 {
		d.t.Errorf("publishing: %d %s", r.status, r.body)
	}
}

// One client asks for a large page on as many connections as the API takes, and reads none of them. Publishers
// don't notice, nor do others who pull; the page is in memory once, and counted.
func TestUnreadPullsBesidePublishing(t *testing.T) {
	d := launch{descriptors: 8192}.start(t) // 512 connections to the API
	alice, bob := d.session("alice"), d.session("bob")
	const event = 4 << 20
	d.adminCall("POST", "/v1/changes", `{"entity":"T","row_id":"1","kind":"insert","data":"`+strings.Repeat("x", event)+`"}`, nil)
	before := d.peakResident()
	var served, busy int
	for range 470 {
		conn := d.hold("GET /api/sync/pull?since=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + alice + "\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(soon))
		status := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(conn, status); err != nil {
			t.Fatalf("no answer: %v", err)
		}
		switch string(status) {
		case "HTTP/1.1 200":
			served++
		case "HTTP/1.1 503":
			busy++
		default:
			t.Errorf("answered %q", status)
		}
		d.wantPublished()
	}
	if served == 0 || busy == 0 {
		t.Errorf("%d pulls of one user are being served, %d not", served, busy)
	}
	if r := d.call("GET", "/api/sync/pull?since=0", bob, ""); r.status != 200 || len(r.body) < event {
		t.Errorf("another's pull: %d, %d bytes", r.status, len(r.body))
	}
	d.wantProbes()
	counted := d.metric(`busbar_buffered_bytes{kind="messages"}`)
	if counted > 2*event { // what the log keeps isn't in it
		t.Errorf("%v bytes count for one event of %d", counted, event)
	}
	// What is not counted: Go's garbage, and some 20 KiB for each connection and its goroutine.
	if grown := d.peakResident() - before; grown > 2*event+470*20<<10+16<<20 {
		t.Errorf("memory grew by %d MiB for one event of 4 MiB", grown>>20)
	}
}

// hold opens a connection to the API and sends text on it. It may be closed by the server at once.
func (d *daemon) hold(text string) net.Conn {
	d.t.Helper()
	conn, err := net.DialTimeout("tcp", d.api, soon)
	if err != nil {
		d.t.Fatalf("connecting to the API: %v", err)
	}
	d.t.Cleanup(func() { conn.Close() })
	_, _ = io.WriteString(conn, text)
	return conn
}

func (d *daemon) wantProbes() {
	d.t.Helper()
	for path, token := range map[string]string{"/healthz": "", "/readyz": "", "/metrics": d.admin} {
		if r := d.call("GET", path, token, ""); r.status != 200 {
			d.t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

// Connections that come all the time push each other out, and a probe is quicker than that.
func TestProbesWhileConnectionsPourIn(t *testing.T) {
	d := launch{descriptors: 400}.start(t)
	const pouring = 500
	poured := make(chan struct{})
	go func() {
		defer close(poured)
		pace := time.NewTicker(2 * time.Millisecond)
		defer pace.Stop()
		for range pouring {
			<-pace.C
			if conn, err := net.Dial("tcp", d.api); err == nil {
				defer conn.Close()
			}
		}
	}()
	for over := false; !over; {
		eventually(t, "a probe answered", d.probe)
		select {
		case <-poured:
			over = true
		default:
		}
	}
	if n := d.metric("busbar_http_connections_evicted_total"); n < pouring/2 {
		t.Errorf("%v connections had to go", n)
	}
}

// probe is one try, as a load balancer makes it.
func (d *daemon) probe() bool {
	conn, err := net.DialTimeout("tcp", d.api, soon)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(soon))
	_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	return strings.HasPrefix(string(answer), "HTTP/1.1 200 ")
}
