package loadgen

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"github.com/gobwas/ws"
)

// The request is one that another library's server takes, and its answer one that we take,
// however it is cut.
func TestUpgradeWithAnotherLibrary(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	done := make(chan error, 1)
	go func() {
		defer there.Close()
		_, err := ws.Upgrade(there)
		done <- err
	}()
	if _, err := here.Write(upgradeRequest("127.0.0.1:1", "/?since=0", "t0ken")); err != nil {
		t.Fatal(err)
	}
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(here); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for cut := range answer.Len() {
		if size, err := checkUpgrade(answer.Bytes()[:cut]); size != 0 || err != nil {
			t.Fatalf("%d bytes of the answer: %d, %v", cut, size, err)
		}
	}
	if size, err := checkUpgrade(append(answer.Bytes(), 0x82, 0)); size != answer.Len() || err != nil {
		t.Errorf("the answer of %d bytes: %d, %v", answer.Len(), size, err)
	}
}

func TestUpgradesThatAreRefused(t *testing.T) {
	for name, answer := range map[string]string{
		"status":    "HTTP/1.1 401 Unauthorized\r\n\r\n",
		"no key":    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		"wrong key": "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
		"endless":   "HTTP/1.1 101 " + string(make([]byte, maxResponse)),
	} {
		if size, err := checkUpgrade([]byte(answer)); !errors.Is(err, errUpgrade) {
			t.Errorf("%s: %d, %v", name, size, err)
		}
	}
}
