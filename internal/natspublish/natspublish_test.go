package natspublish

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// While too much is being served further requests are told so at once, and none is lost.
func TestBusy(t *testing.T) {
	t.Parallel()
	servers := natstest.Start(t, 1, natstest.InMemory(t)).Servers(0)
	var conn *nats.Conn
	wstest.Eventually(t, "NATS is there", func() (ok bool) {
		var err error
		conn, err = nats.Connect(servers)
		return err == nil
	})
	defer conn.Close()
	goOn := make(chan struct{})
	s, err := Open(Options{Servers: servers, Subject: "s", Logger: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-goOn
		w.WriteHeader(http.StatusNoContent)
	})})
	if err != nil {
		t.Fatal(err)
	}
	const extra = 100
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for range maxBytes/overhead + extra {
		if err := conn.PublishRequest("s", inbox, nil); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	take := func(n int) {
		for range n {
			m, err := answers.NextMsg(wstest.Patience)
			if err != nil {
				t.Fatal(err)
			}
			if got[m.Header.Get(statusHeader)]++; m.Header.Get(statusHeader) == "503" && m.Header.Get("Retry-After") != "1" {
				t.Errorf("%v", m.Header)
			}
		}
	}
	take(extra)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
		defer cancel()
		s.Close(ctx)
	}()
	select {
	case <-ended:
		t.Error("it ended before all were answered")
	case <-time.After(10 * time.Millisecond):
	}
	close(goOn)
	take(maxBytes / overhead)
	<-ended
	if got["503"] != extra || got["204"] != maxBytes/overhead {
		t.Errorf("got %v", got)
	}
}
