package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// script is what a server does on one connection of a tail; n counts them from 0.
type script func(ctx context.Context, n int, c *websocket.Conn, r *http.Request) error

// startScripted serves WebSockets with somebody else's implementation: what tail
// does at the edges of RFC 6455 isn't left to our own server to judge. A script that
// failed fails the test when that ends.
func startScripted(t *testing.T, do script) (url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	var connections atomic.Int32
	var handlers sync.WaitGroup // httptest forgets connections that were upgraded
	done := make(chan error, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		n := int(connections.Add(1)) - 1
		c, err := websocket.Accept(w, r, nil)
		if err == nil {
			err = do(ctx, n, c, r)
			_ = c.CloseNow()
		}
		done <- err
	}))
	t.Cleanup(func() {
		handlers.Wait()
		s.Close()
		cancel()
		for len(done) > 0 {
			if err := <-done; err != nil {
				t.Errorf("on the server's side: %v", err)
			}
		}
	})
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

func write(ctx context.Context, c *websocket.Conn, text string) error {
	return c.Write(ctx, websocket.MessageText, []byte(text))
}

// docs/protocol.md section 1, 2: since and the subscriptions come again with each connection.
func TestTailResumes(t *testing.T) {
	event := func(seq string) string { return `{"seq":` + seq + `,"entity":"T","row_id":"1","kind":"delete"}` }
	since := []string{"", "7", "3"}
	url := startScripted(t, func(ctx context.Context, n int, c *websocket.Conn, r *http.Request) error {
		if got := r.URL.Query().Get("since"); got != since[n] || r.URL.Query().Get("keep") != "1" || r.URL.Path != "/live" {
			return errors.New("connection with " + r.URL.String())
		}
		if _, message, err := c.Read(ctx); err != nil || string(message) != `{"topic":"a","type":"subscribe"}` {
			return errors.Join(errors.New("subscription: "+string(message)), err)
		}
		messages := [][]string{
			// A relayed message can't move the cursor.
			{event("7"), `{"type":"topic","Type":null,"seq":99,"entity":"T","row_id":"1","kind":"delete","from":"u"}`},
			{`{"type":"resync","oldest_seq":1,"seq":3}`},
			{"last"},
		}[n]
		for _, text := range messages {
			if err := write(ctx, c, text); err != nil {
				return err
			}
		}
		if n == 2 {
			return c.Close(websocket.StatusNormalClosure, "that's all")
		}
		return c.Close(websocket.StatusServiceRestart, "")
	})
	tail := startTail(t, []string{"BUSBAR_TOKEN=x"}, "-url", url+"/live?keep=1", "-topic", "a")
	tail.want(t, exitOK, "1012", "server draining")
	if n := strings.Count(tail.out.String(), "\n"); n != 4 {
		t.Errorf("%d messages, want 4:\n%s", n, tail.out)
	}
}

// RFC 6455 section 5.5.2: a ping is answered; section 5.4: messages may come in pieces.
func TestTailAnswersPingsAndTakesFragments(t *testing.T) {
	long := strings.Repeat("0123456789", 10_000)
	url := startScripted(t, func(ctx context.Context, _ int, c *websocket.Conn, _ *http.Request) error {
		reading := c.CloseRead(ctx)
		if err := c.Ping(reading); err != nil {
			return err
		}
		w, err := c.Writer(ctx, websocket.MessageText)
		if err != nil {
			return err
		}
		for piece := range strings.SplitAfterSeq(long, "9") {
			if _, err := w.Write([]byte(piece)); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
		<-reading.Done() // tail has enough
		return nil
	})
	tail := startTail(t, []string{"BUSBAR_TOKEN=x"}, "-url", url, "-count", "1")
	tail.want(t, exitOK)
	if tail.out.String() != long+"\n" {
		t.Errorf("got %d bytes, want %d", len(tail.out.String()), len(long)+1)
	}
}

// How each Close ends tail: the codes that a client shouldn't come back after.
func TestTailAfterClose(t *testing.T) {
	for code, want := range map[websocket.StatusCode]int{
		1000: exitOK, 1002: exitFailure, 1007: exitFailure, 1008: exitFailure, 1009: exitFailure,
	} {
		url := startScripted(t, func(_ context.Context, _ int, c *websocket.Conn, _ *http.Request) error {
			return c.Close(code, "because")
		})
		tail := startTail(t, []string{"BUSBAR_TOKEN=x"}, "-url", url)
		tail.want(t, want)
		if want != exitOK && !strings.Contains(tail.err.String(), `"because"`) {
			t.Errorf("%d: the reason isn't told: %s", code, tail.err)
		}
	}
}

func TestTailOnce(t *testing.T) {
	for code, want := range map[websocket.StatusCode]int{1012: exitOK, 1001: exitOK, 1011: exitFailure, 1013: exitFailure, 0: exitFailure} {
		url := startScripted(t, func(_ context.Context, n int, c *websocket.Conn, _ *http.Request) error {
			if n > 0 {
				return errors.New("it came back")
			}
			if code == 0 {
				return c.CloseNow()
			}
			return c.Close(code, "")
		})
		startTail(t, []string{"BUSBAR_TOKEN=x"}, "-url", url, "-once").want(t, want)
	}
}

// Ctrl-C and -count end with Close 1000, which the server hears.
func TestTailClosesInOrder(t *testing.T) {
	url := startScripted(t, func(ctx context.Context, _ int, c *websocket.Conn, _ *http.Request) error {
		if err := write(ctx, c, "one"); err != nil {
			return err
		}
		_, _, err := c.Read(ctx)
		if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
			return nil
		}
		return errors.Join(errors.New("no Close 1000"), err)
	})
	startTail(t, []string{"BUSBAR_TOKEN=x"}, "-url", url, "-count", "1").want(t, exitOK)
	tail := startTail(t, []string{"BUSBAR_TOKEN=x"}, "-url", url)
	tail.out.waitFor(t, "one")
	interruptTails(t, tail)
}

func TestTailRefusesAHugeMessage(t *testing.T) {
	for _, fragmented := range []bool{false, true} {
		url := startScripted(t, func(ctx context.Context, _ int, c *websocket.Conn, _ *http.Request) error {
			huge := []byte(strings.Repeat("x", 9000))
			if !fragmented {
				_ = c.Write(ctx, websocket.MessageText, huge) // may fail: tail leaves before its end
			} else if w, err := c.Writer(ctx, websocket.MessageText); err == nil {
				for part := range 9 {
					_, _ = w.Write(huge[part*1000 : part*1000+1000])
				}
				_ = w.Close()
			}
			_, _, err := c.Read(ctx)
			if websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
				return errors.Join(errors.New("no Close 1009"), err)
			}
			return nil
		})
		tail := startTail(t, []string{"BUSBAR_TOKEN=x"}, "-url", url, "-max-message", "5000")
		tail.want(t, exitFailure, "-max-message 5000")
	}
}

// What an answer other than an upgrade means (docs/protocol.md section 1).
func TestTailSaysWhatAStatusMeans(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusServiceUnavailable: "takes no connections now (status 503): it is full, or about to end",
		http.StatusUnauthorized:       "status 401: the token isn't valid there",
		http.StatusNotFound:           "status 404 Not Found instead of an upgrade: is that the WebSocket port?",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		url := "ws" + strings.TrimPrefix(s.URL, "http")
		runCommand("", []string{"BUSBAR_TOKEN=x"}, "tail", "-url", url).want(t, exitFailure, want)
		s.Close()
	}
}
