package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// flood connects from several goroutines until the test ends it, and hands each connection
// to do. It returns how many there were.
func flood(t *testing.T, addr string, do func(net.Conn)) (stop func() int64) {
	t.Helper()
	over := make(chan struct{})
	var n atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				conn, err := net.DialTimeout("tcp", addr, soon)
				if err != nil {
					continue
				}
				_ = conn.SetDeadline(time.Now().Add(soon))
				n.Add(1)
				do(conn)
				conn.Close()
			}
		})
	}
	stop = sync.OnceValue(func() int64 { close(over); wg.Wait(); return n.Load() })
	t.Cleanup(func() { stop() })
	return stop
}

// A server that is full, and has hardly a descriptor left, is flooded on both of its ports.
// Those inside notice nothing, newcomers are told when to come back, and no accept fails.
func TestFloodedAtTheDescriptorLimit(t *testing.T) {
	const descriptors = 150
	d := launch{descriptors: descriptors, args: []string{"-max-per-ip", "0"}}.start(t)
	token := d.session("alice")
	clients := d.fill(token, descriptors)

	stopAPI := flood(t, d.api, func(conn net.Conn) {
		fmt.Fprint(conn, "GET /v1/stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+d.admin+"\r\nConnection: close\r\n\r\n")
		_, _ = bufio.NewReader(conn).ReadString('\n')
	})
	var told atomic.Int64
	stopClients := flood(t, d.ws, func(conn net.Conn) {
		fmt.Fprint(conn, wstest.Request("/"))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return // the overflow was full
		}
		answer.Body.Close()
		after, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		if answer.StatusCode != http.StatusServiceUnavailable || after < 5 || after > 10 {
			t.Errorf("a full server answers %d, Retry-After %d", answer.StatusCode, after)
		}
		told.Add(1)
	})
	for i := range 10 {
		text := fmt.Sprintf(`{"type":"presence","event":"flooded %d"}`, i)
		if err := wsutil.WriteClientText(clients[i], []byte(text)); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			skipTo(t, c, fmt.Sprintf("flooded %d", i))
		}
	}
	eventually(t, "newcomers are told to come back", func() bool { return told.Load() > 20 })
	t.Logf("%d requests to the API, %d newcomers, %d of them were told to come back", stopAPI(), stopClients(), told.Load())
	if n := d.metric("busbar_accept_errors_total"); n != 0 {
		t.Errorf("%v accepts have failed", n)
	}
	if n := d.metric("busbar_overflow_answers_total"); n < float64(told.Load()) {
		t.Errorf("%v answers are counted, %d came", n, told.Load())
	}
	d.publishToAll(clients)
}
