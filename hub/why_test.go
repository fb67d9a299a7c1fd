package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// verdicts are what Why says of events for a user's only client, from one event on.
func verdicts(t *testing.T, h *Hub, client, from uint64, n int) (all []Verdict) {
	t.Helper()
	for seq := from; seq < from+uint64(n); seq++ {
		a, err := h.Why(within(t), client, seq)
		if err != nil {
			t.Fatal(err)
		}
		if a.Detail == "" || a.Client != client || a.Seq != seq {
			t.Errorf("answered %+v", a)
		}
		all = append(all, a.Verdict)
	}
	return all
}

// docs/protocol.md section 5, GET /v1/why: what a client's cursor has to do with it, what it is subscribed to, what the
// log has let go of, and who isn't there.
func TestWhy(t *testing.T) {
	h := start(t, func(o *Options) { o.Log, o.Loops.Loops = NewMemoryLog(4, 1<<20), 1 })
	for range 3 { // 1 to 3
		mustPublish(t, h, someChange)
	}
	c := listen(t, h, "alice@acme", "?since=1")
	for _, seq := range []uint64{2, 3} {
		if got := nextSeq(t, c); got != seq {
			t.Fatalf("got %d, want %d", got, seq)
		}
	}
	plain := listen(t, h, "bob", "")
	clients, err := h.Clients(within(t), 0, 10)
	if err != nil || len(clients) != 2 {
		t.Fatalf("%v, %v", clients, err)
	}
	alice, bob := clients[0].ID, clients[1].ID
	if clients[0].UserID != "alice" {
		alice, bob = bob, alice
	}
	same := func(what string, got []Verdict, want ...Verdict) {
		t.Helper()
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: event %d: %s, want %s", what, i+1, got[i], want[i])
			}
		}
	}
	same("with since=1", verdicts(t, h, alice, 1, 4), VerdictHadIt, VerdictSent, VerdictSent, VerdictNotPublished)
	same("without", verdicts(t, h, bob, 1, 4), VerdictConnectedLater, VerdictConnectedLater, VerdictConnectedLater, VerdictNotPublished)

	publishUntilSent := func(c Change) (seq uint64) { // the loops' clock has to go on
		eventually(t, "an event comes behind the client", func() bool {
			var err error
			if seq, err = h.PublishChange(c); err != nil {
				t.Fatal(err)
			}
			a, err := h.Why(within(t), bob, seq)
			return err == nil && (a.Verdict == VerdictSent || a.Verdict == VerdictNotSubscribed)
		})
		return seq
	}
	topic := Change{Entity: "E", RowID: "r", Kind: Update, Audience: Audience{Topic: "news"}}
	publishUntilSent(someChange)
	seq := publishUntilSent(topic)
	same("not subscribed", verdicts(t, h, bob, seq, 1), VerdictNotSubscribed)
	plain.sendAndSettle(`{"type":"subscribe","topic":"news"}`)
	same("subscribed, since when isn't known", verdicts(t, h, bob, seq, 1), VerdictUnknown)
	for range 5 {
		mustPublish(t, h, someChange)
	}
	handled(t, h)
	same("the log has let go of it", verdicts(t, h, bob, seq, 1), VerdictNotRetained)
	_, err = h.Why(within(t), bob+1<<40, 1)
	if !errors.Is(err, ErrNoSuchClient) {
		t.Errorf("a client that never was: %v", err)
	}
	var other *OtherNodeError
	if _, err = h.Why(within(t), bob|9<<45, 1); !errors.As(err, &other) || other.Node != 9 {
		t.Errorf("another node's: %v", err)
	}
}

// A client that has lost events and stayed is told of that, and so is who asks; those that wait for it wait.
func TestWhyOfALaggard(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Loops.Loops, o.Loops.SendBuffer = 1, 4096
		o.Loops.Slow = eventloop.SlowOptions{Policy: eventloop.DropOldest, LagBytes: 64 << 10}
	})
	c, err := wstest.DialRaw(t, "", h.Addr().String(), wstest.SmallWindow)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Upgrade("/?since=0", "Authorization: Bearer alice"); err != nil {
		t.Fatal(err)
	}
	clients, err := h.Clients(within(t), 0, 1)
	if err != nil || len(clients) != 1 {
		t.Fatalf("%v, %v", clients, err)
	}
	id := clients[0].ID
	big := Change{Entity: "E", RowID: "r", Kind: Update, Data: []byte(`"` + strings.Repeat("x", 8<<10) + `"`)}
	var lost []Lost
	var seq uint64
	eventually(t, "it loses some", func() bool {
		if seq, err = h.PublishChange(big); err != nil {
			t.Fatal(err)
		}
		handled(t, h)
		lost, _, err = h.Losses(within(t), Recent{Client: id, Limit: 1})
		return err == nil && len(lost) == 1
	})
	middle := lost[0].Seqs.To
	a, err := h.Why(within(t), id, middle)
	if err != nil || a.Verdict != VerdictLost || a.Cause != "slow" || a.At == nil || !a.At.Equal(lost[0].At) {
		t.Errorf("a lost event: %+v, %v; lost: %+v", a, err, lost[0])
	}
	if got := verdicts(t, h, id, seq, 1); got[0] != VerdictWaiting { // of those that are kept
		t.Errorf("the newest: %s", got[0])
	}
	_ = c.Close()
}

// A client without a cursor that is too slow, and is given events from the log, waits for those behind what it was sent.
func TestWhyOfAClientThatCatchesUp(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Loops.Loops, o.Loops.SendBuffer = 1, 4096
		o.Loops.Slow = eventloop.SlowOptions{Policy: eventloop.CatchUp, LagBytes: 64 << 10}
	})
	c, err := wstest.DialRaw(t, "", h.Addr().String(), wstest.SmallWindow)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Upgrade("/", "Authorization: Bearer alice"); err != nil {
		t.Fatal(err)
	}
	clients, err := h.Clients(within(t), 0, 1)
	if err != nil || len(clients) != 1 {
		t.Fatalf("%v, %v", clients, err)
	}
	id, first := clients[0].ID, uint64(0)
	eventually(t, "an event comes behind the client", func() bool {
		first = mustPublish(t, h, someChange)
		a, err := h.Why(within(t), id, first)
		return err == nil && a.Verdict == VerdictSent
	})
	big := Change{Entity: "E", RowID: "r", Kind: Update, Data: []byte(`"` + strings.Repeat("x", 8<<10) + `"`)}
	var seq uint64
	eventually(t, "it catches up", func() bool {
		seq = mustPublish(t, h, big)
		handled(t, h)
		behind, _, err := h.Laggards(within(t), 1)
		return err == nil && len(behind) == 1 && behind[0].State == "catching_up"
	})
	a, err := h.Why(within(t), id, seq)
	if err != nil || a.Verdict != VerdictWaiting {
		t.Fatalf("the newest: %+v, %v", a, err)
	}
	var upTo uint64
	if _, words, ok := strings.Cut(a.Detail, "up to "); !ok {
		t.Errorf("it says %q", a.Detail)
	} else if _, err := fmt.Sscan(words, &upTo); err != nil || upTo < first || upTo >= seq {
		t.Errorf("it says %q; the first was %d and the newest %d", a.Detail, first, seq)
	}
	if got := verdicts(t, h, id, first, 1); got[0] != VerdictSent {
		t.Errorf("what it was sent before: %s", got[0])
	}
}

// A client that loses some again and again within a second lost none of what it got in between.
func TestWhyOfALaggardThatReadsOn(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Loops.Loops, o.Loops.SendBuffer = 1, 4096
		o.Loops.Slow = eventloop.SlowOptions{Policy: eventloop.DropOldest, LagBytes: 64 << 10}
	})
	c, err := wstest.DialRaw(t, "", h.Addr().String(), wstest.SmallWindow)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Upgrade("/?since=0", "Authorization: Bearer alice"); err != nil {
		t.Fatal(err)
	}
	clients, err := h.Clients(within(t), 0, 1)
	if err != nil || len(clients) != 1 {
		t.Fatalf("%v, %v", clients, err)
	}
	big := Change{Entity: "E", RowID: "r", Kind: Update, Data: []byte(`"` + strings.Repeat("x", 8<<10) + `"`)}
	c.Send(ws.OpText, `{"type":"subscribe","topic":"news"}`)
	c.Send(ws.OpText, `{"type":"ping"}`)
	c.Expect(ws.OpText, `{"type":"pong"}`)
	forTopic := big
	forTopic.Data, forTopic.Audience = nil, Audience{Topic: "news"} // which come though all around them are lost
	got := make(map[uint64]bool)
	var seqs []uint64
	lost := 0
	for range 4 {
		for i := range 30 {
			next := big
			if i%5 == 0 {
				next = forTopic
			}
			seqs = append(seqs, mustPublish(t, h, next))
		}
		for last := seqs[len(seqs)-1]; !got[last]; {
			text, err := c.Text()
			if err != nil {
				t.Fatal(err)
			}
			var event struct {
				Seq  uint64 `json:"seq"`
				Type string `json:"type"`
			}
			if err := json.Unmarshal([]byte(text), &event); err != nil {
				t.Fatal(err)
			}
			if event.Type == "" {
				got[event.Seq] = true
			}
		}
		lost = 0
		for i, v := range verdicts(t, h, clients[0].ID, seqs[0], len(seqs)) {
			switch {
			case got[seqs[i]] && v != VerdictSent && v != VerdictUnknown:
				t.Errorf("event %d was sent, and Why says %s", i, v)
			case !got[seqs[i]] && v != VerdictLost && v != VerdictUnknown:
				t.Errorf("event %d was lost, and Why says %s", i, v)
			case v == VerdictLost:
				lost++
			}
		}
	}
	if lost == 0 || len(got) == len(seqs) {
		t.Errorf("%d of %d events came, %d lost", len(got), len(seqs), lost)
	}
}

// With -routing subscribed a replay isn't filtered: what a client was given by its cursor isn't said to have missed it,
// also where it came right ahead of the client.
func TestWhyOfAReplayWithoutSubscriptions(t *testing.T) {
	h := start(t, func(o *Options) { o.Routing, o.Loops.Loops = RouteSubscribed, 1 })
	listen(t, h, "bob", "") // the loop goes by the clock
	first := mustPublish(t, h, someChange)
	for range 3 {
		mustPublish(t, h, someChange)
	}
	c := listen(t, h, "alice", fmt.Sprint("?since=", first))
	for range 3 {
		nextSeq(t, c)
	}
	clients, err := h.Clients(within(t), 0, 10)
	if err != nil || len(clients) != 2 {
		t.Fatalf("%v, %v", clients, err)
	}
	for _, v := range verdicts(t, h, max(clients[0].ID, clients[1].ID), first+1, 3) {
		if v != VerdictSent {
			t.Errorf("a replayed event: %s", v)
		}
	}
}
