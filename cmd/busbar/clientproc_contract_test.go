package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// soon bounds each wait for a client, the start of its interpreter included.
const soon = time.Minute

// clientStarters are the clients that Busbar is tried with and did not write.
var clientStarters = map[string]func(t *testing.T, url, token, way string) *clientProcess{
	"node":   startNodeClient,
	"python": startPythonClient,
}

// echoServer is a WebSocket server that isn't Busbar, so that a fault in a client script shows up as one. It
// tells each client first how it signed in, then echoes. A path of "/401" gets that status instead.
func echoServer(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/401" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		choose := ws.HTTPUpgrader{Protocol: func(string) bool { return true }}
		conn, _, _, err := choose.Upgrade(r, w)
		if err != nil {
			return // the client reports it
		}
		defer conn.Close()
		echo(conn, r.Header.Get("Authorization")+"|"+r.Header.Get("Sec-WebSocket-Protocol"))
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// echo returns when the client has closed; wsutil answers pings and closing handshakes.
func echo(conn net.Conn, hello string) {
	if wsutil.WriteServerText(conn, []byte(hello)) != nil {
		return
	}
	for {
		data, op, err := wsutil.ReadClientData(conn)
		if err != nil || wsutil.WriteServerMessage(conn, op, data) != nil {
			return
		}
	}
}

func TestClientsSignInBothWays(t *testing.T) {
	t.Parallel()
	url := echoServer(t)
	for name, start := range clientStarters {
		t.Run(name, func(t *testing.T) {
			c := start(t, url, "a+/(b)", "header")
			c.waitEvent(soon, "open")
			if got := c.waitEvent(soon, "text").Data; got != "Bearer a+/(b)|" {
				t.Errorf("with a header the server saw %q", got)
			}
			c = start(t, url, "a+/(b)", "subprotocol")
			const encoded = "bearer.a%2B%2F%28b%29"
			if got := c.waitEvent(soon, "open").Protocol; got != encoded {
				t.Errorf("the client opened with subprotocol %q, want %q", got, encoded)
			}
			if got := c.waitEvent(soon, "text").Data; got != "|"+encoded {
				t.Errorf("with a subprotocol the server saw %q", got)
			}
		})
	}
}

func TestClientsCarryMessagesAndPings(t *testing.T) {
	url := echoServer(t)
	big := bytes.Repeat([]byte{0, 0xff, '\n'}, 1<<18)
	for name, start := range clientStarters {
		t.Run(name, func(t *testing.T) {
			c := start(t, url, "", "header")
			c.waitEvent(soon, "open")
			c.send("grüße")
			c.wait(soon, "the text's echo", func(e clientEvent) bool { return e.Event == "text" && e.Data == "grüße" })
			c.sendBinary(big)
			if e := c.waitEvent(soon, "binary"); !bytes.Equal(e.Base64, big) {
				t.Errorf("%d bytes came back as %d others", len(big), len(e.Base64))
			}
			c.ping("are you there")
			if e := c.waitEvent(soon, "pong"); e.Data != "are you there" {
				t.Errorf("the pong carried %q", e.Data)
			}
		})
	}
}

func TestClientsSayHowTheyEnded(t *testing.T) {
	t.Parallel()
	url := echoServer(t)
	for name, start := range clientStarters {
		t.Run(name, func(t *testing.T) {
			closing := start(t, url, "", "header")
			closing.waitEvent(soon, "open")
			closing.close(4001, "enough")
			if e := closing.waitEvent(soon, "close"); e.Code != 4001 {
				t.Errorf("after a closing handshake: %+v", e)
			}
			dropping := start(t, url, "", "header")
			dropping.waitEvent(soon, "open")
			dropping.terminate()
			if e := dropping.waitEvent(soon, "close"); e.Code != 1006 {
				t.Errorf("after terminate: %+v", e)
			}
			refused := start(t, url+"/401", "x", "header")
			if e := refused.waitEvent(soon, "error"); e.Status != http.StatusUnauthorized {
				t.Errorf("after a refused upgrade: %+v", e)
			}
			refused.waitEvent(soon, "close")
		})
	}
}
