package natsconn

import (
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(-1) // the collector closes sockets that were forgotten
	leaks.Main(m)
}

func serve(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(wstest.Patience) {
		t.Fatal("the NATS server isn't ready")
	}
	return s
}

func connect(servers string) (*nats.Conn, error) {
	conn, _, err := Connect(Options{
		Servers: servers, Logger: slog.New(slog.DiscardHandler),
		Reconnected: func() {}, Slow: func(*nats.Subscription) bool { return false },
		NATS: []nats.Option{nats.UserInfo("u", "first"), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0)},
	})
	return conn, err
}

// A connection that is refused again and again has one socket at a time.
func TestSocketsOfRefusedHandshakes(t *testing.T) {
	o := &server.Options{Username: "u", Password: "first"}
	s := serve(t, o)
	conn, err := connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	connected := len(leaks.Descriptors())
	changed := o.Clone()
	changed.Password = "second"
	if err := s.ReloadOptions(changed); err != nil {
		t.Fatal(err)
	}
	wstest.Eventually(t, "it was refused 20 times", func() bool { return conn.Stats().Reconnects >= 20 })
	wstest.Eventually(t, "no more is open than when it was connected", func() bool { return len(leaks.Descriptors()) <= connected })
}

// The first handshake of a WebSocket connection that fails leaves nothing open either.
func TestSocketOfFailedWebSocketHandshake(t *testing.T) {
	s := serve(t, &server.Options{})
	before := leaks.Descriptors()
	if conn, err := connect(strings.Replace(s.ClientURL(), "nats:", "ws:", 1)); err == nil {
		conn.Close()
		t.Error("a server that speaks no WebSocket was connected to")
	}
	if left := before.Left(wstest.Patience); len(left) > 0 {
		t.Error("left open:", left)
	}
}
