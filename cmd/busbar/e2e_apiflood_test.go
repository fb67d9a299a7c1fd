package main

import (
	"fmt"
	"io"
	"net"
	"strings"
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
// relayed, and publishers are served again as soon as the others have gone.
func TestProbesWhileTheAPIIsFlooded(t *testing.T) {
	for name, text := range floods {
		t.Run(name, func(t *testing.T) {
			d := launch{descriptors: 400, args: []string{"-max-per-ip", "0"}}.start(t) // 25 connections to the API
			token := d.session("alice")
			if strings.Contains(text, "%s") {
				text = fmt.Sprintf(text, d.admin)
			}
			var held []net.Conn
			for range 100 {
				held = append(held, d.hold(text))
			}
			d.wantProbes()
			c := d.connect(token)
			c.send(`{"type":"presence","event":"held"}`)
			c.wait(soon, "the relay", func(e clientEvent) bool { return strings.Contains(e.Data, "held") })
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
