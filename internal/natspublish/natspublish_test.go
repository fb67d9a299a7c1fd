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

func serve(t *testing.T, h http.HandlerFunc) (*Server, *nats.Conn) {
	servers := natstest.Start(t, 1, natstest.InMemory(t)).Servers(0)
	var conn *nats.Conn
	wstest.Eventually(t, "NATS is there", func() (ok bool) {
		var err error
		conn, err = nats.Connect(servers)
		return err == nil
	})
	t.Cleanup(conn.Close)
	s, err := Open(Options{Servers: servers, Stream: "s", Logger: slog.New(slog.DiscardHandler), Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	return s, conn
}

// Whoever may publish here has no answer put where they may not publish themselves.
func TestAnswersGoToNobodyElse(t *testing.T) {
	t.Parallel()
	served := make(chan string, 10)
	s, conn := serve(t, func(w http.ResponseWriter, r *http.Request) { served <- r.URL.Path })
	defer s.Close(t.Context())
	all, err := conn.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	request := func(reply, call string) {
		m := &nats.Msg{Subject: "s.publish", Reply: reply, Header: nats.Header{callHeader: {call}}}
		if err := conn.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		if m, err := all.NextMsg(wstest.Patience); err != nil || m.Subject != "s.publish" {
			t.Fatalf("%v, %v", m, err)
		}
	}
	for _, reply := range []string{"s.changes", "s.publish", "$KV.s-sessions.x"} {
		request(reply, "POST /v1/others")
	}
	request("answers.here", "POST /v1/mine")
	if m, err := all.NextMsg(wstest.Patience); err != nil || m.Subject != "answers.here" {
		t.Errorf("%v, %v", m, err)
	}
	if path := <-served; path != "/v1/mine" || len(served) != 0 {
		t.Errorf("%s was served, and %d more", path, len(served))
	}
}

// docs/cluster.md, publishing over NATS: headers' names may be in any case, as HTTP's; none is passed over that would
// change what is published.
func TestHeaders(t *testing.T) {
	t.Parallel()
	served := make(chan *http.Request, 1)
	s, conn := serve(t, func(_ http.ResponseWriter, r *http.Request) { served <- r })
	defer s.Close(t.Context())
	for _, c := range []struct {
		header  nats.Header
		refused bool
		path    string
		content string
	}{
		{header: nats.Header{"busbar-call": {"POST /v1/x"}, "content-type": {"a"}}, path: "/v1/x", content: "a"},
		{header: nats.Header{callHeader: {"PUT /v1/rows/E/a%2Fb#c"}}, path: "/v1/rows/E/a/b#c"},
		{header: nats.Header{"Other": {"1", "2"}, callHeader: {""}}, path: "/v1/changes"},
		{header: nats.Header{callHeader: {"POST /v1/x", "POST /v1/y"}}, refused: true},
		{header: nats.Header{callHeader: {"POST /v1/x"}, "BUSBAR-CALL": {"POST /v1/y"}}, refused: true},
		{header: nats.Header{"Content-Type": {"a", "a"}}, refused: true},
		{header: nats.Header{"Busbar-Cal": {"POST /v1/x"}}, refused: true},
		{header: nats.Header{callHeader: {"POST /v1/%x"}}, refused: true},
	} {
		m, err := conn.RequestMsg(&nats.Msg{Subject: "s.publish", Header: c.header}, wstest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if refused := m.Header.Get(statusHeader) == "400"; refused != c.refused {
			t.Errorf("%v: %v %s", c.header, m.Header, m.Data)
		}
		if c.refused {
			continue
		}
		if r := <-served; r.URL.Path != c.path || r.Header.Get("Content-Type") != c.content {
			t.Errorf("%v: %s, %s", c.header, r.URL.Path, r.Header)
		}
	}
}

// While too much is being served further requests are told so at once, and none is lost.
func TestBusy(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	s, conn := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		<-goOn
		w.WriteHeader(http.StatusNoContent)
	})
	const extra = 100
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for range maxBytes/overhead + extra {
		if err := conn.PublishRequest("s.publish", inbox, nil); err != nil {
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
