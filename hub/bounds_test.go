package hub

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// docs/protocol.md section 7, -max-message-out, and docs/protocol.md section 3: what is too large or malformed is an error to
// whoever publishes it, and reaches nobody.
func TestPublishersErrors(t *testing.T) {
	h := start(t, func(o *Options) { o.MaxMessageOut = 1000 })
	alice := listen(t, h, "alice", "")
	large := strings.Repeat("x", 1001)
	quoted := []byte(`"` + large + `"`)
	long := strings.Repeat("e", 1<<16)
	changed := func(c Change) error { _, err := h.PublishChange(c); return err }
	for _, c := range []struct {
		name  string
		err   error
		field string // "" is ErrTooLarge
	}{
		{"change", changed(Change{Entity: "E", RowID: "r", Kind: Insert, Data: quoted}), ""},
		{"presence", h.PublishPresence("", []byte(`{"x":"`+large+`"}`)), ""},
		{"topic", h.PublishTopic("", "t", quoted), ""},
		{"row", h.PublishRow(Snapshot, "", "E", "r", []byte(large)), ""},
		{"binary", h.BroadcastBinary([]byte(large)), ""},
		{"binary to one", h.SendBinary([]byte(large), 1), ""},
		{"change without entity", changed(Change{RowID: "r", Kind: Insert}), "entity"},
		{"change without row", changed(Change{Entity: "E", Kind: Insert}), "row_id"},
		{"change of no kind", changed(Change{Entity: "E", RowID: "r"}), "kind"},
		{"change with junk", changed(Change{Entity: "E", RowID: "r", Kind: Insert, Data: []byte("{")}), "data"},
		{"change for nobody", changed(Change{Entity: "E", RowID: "r", Kind: Insert, Audience: Audience{Users: []string{}}}), "audience.users"},
		{"presence that is no object", h.PublishPresence("", []byte(`[1]`)), "body"},
		{"presence with a name twice", h.PublishPresence("", []byte(`{"type":"presence","type":"topic"}`)), "body"},
		{"presence with a seq", h.PublishPresence("", []byte(`{"type":"presence","S\u0065q":1}`)), "seq"},
		{"topic with a name twice", h.PublishTopic("", "t", []byte(`{"a":1,"a":2}`)), "data"},
		{"presence that is nothing", h.PublishPresence("", nil), "body"},
		{"presence that isn't UTF-8", h.PublishPresence("", []byte("{\"x\":\"\xff\"}")), "body"},
		{"topic without a name", h.PublishTopic("", "", []byte("1")), "topic"},
		{"topic that isn't UTF-8", h.PublishTopic("", "\xff", []byte("1")), "topic"},
		{"topic with junk", h.PublishTopic("", "t", []byte("{")), "data"},
		{"topic with nothing", h.PublishTopic("", "t", nil), "data"},
		{"topic's data that isn't UTF-8", h.PublishTopic("", "t", []byte("\"\xff\"")), "data"},
		{"presence of a tenant that isn't UTF-8", h.PublishPresence("\xff", []byte(`{}`)), "tenant"},
		{"topic of a tenant that isn't UTF-8", h.PublishTopic("\xff", "t", []byte("1")), "tenant"},
		{"row of no kind", h.PublishRow(0x12, "", "E", "r", nil), "kind"},
		{"row without entity", h.PublishRow(Snapshot, "", "", "r", nil), "entity"},
		{"row without id", h.PublishRow(Snapshot, "", "E", "", nil), "row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var field *FieldError
			switch {
			case c.field == "" && !errors.Is(c.err, ErrTooLarge):
				t.Errorf("got %v, want ErrTooLarge", c.err)
			case c.field != "" && (!errors.As(c.err, &field) || field.Field != c.field):
				t.Errorf("got %v, want an error about %s", c.err, c.field)
			}
		})
	}
	nothingMore(t, h, alice)
	if s := h.Stats(); s.LastSeq != 0 || s.StoredRows != 0 {
		t.Errorf("seq %d, %d rows", s.LastSeq, s.StoredRows)
	}
	// docs/protocol.md section 3: over 65,535 bytes is an error, never a truncated frame.
	big := start(t, nil)
	var field *FieldError
	if err := big.PublishRow(Snapshot, "", long, "r", nil); !errors.As(err, &field) || field.Field != "entity" {
		t.Errorf("a long entity: %v", err)
	}
	if err := big.PublishRow(Snapshot, "", "E", long, nil); !errors.As(err, &field) || field.Field != "row_id" {
		t.Errorf("a long row id: %v", err)
	}
}

// docs/protocol.md section 5: a repeated op_id is applied once, also when it is repeated at the same time.
func TestRepeatedOpIDs(t *testing.T) {
	h := start(t, roomy)
	alice := listen(t, h, "alice", "")
	const ops, times = 50, 8
	var mu sync.Mutex
	got := map[string]map[uint64]bool{}
	var running sync.WaitGroup
	for range times {
		running.Go(func() {
			for n := range ops {
				c := someChange
				c.OpID = fmt.Sprint(n)
				seq := mustPublish(t, h, c)
				mu.Lock()
				if got[c.OpID] == nil {
					got[c.OpID] = map[uint64]bool{}
				}
				got[c.OpID][seq] = true
				mu.Unlock()
			}
		})
	}
	running.Wait()
	for op, seqs := range got {
		if len(seqs) != 1 {
			t.Errorf("op %s got %d seqs", op, len(seqs))
		}
	}
	for want := uint64(1); want <= ops; want++ {
		if seq := nextSeq(t, alice); seq != want {
			t.Fatalf("got %d, want %d", seq, want)
		}
	}
	nothingMore(t, h, alice)
	if s := h.Stats(); s.OpsRepeated != ops*(times-1) || s.Published["change"] != ops {
		t.Errorf("%d repeated, %d published", s.OpsRepeated, s.Published["change"])
	}
}

// A connection has room for so many subscriptions; what goes beyond is ignored and counted.
func TestMaxSubscriptions(t *testing.T) {
	h := start(t, func(o *Options) { o.MaxSubscriptions = 3 })
	if err := h.PublishRow(Snapshot, "", "E", "r", []byte("x")); err != nil {
		t.Fatal(err)
	}
	alice, bob := listen(t, h, "alice", ""), listen(t, h, "bob", "")
	for n := range 5 {
		alice.sendAndSettle(fmt.Sprintf(`{"type":"subscribe","topic":"t%d"}`, n))
	}
	alice.sendAndSettle(subscribeRow)
	if n, ignored := h.SubscriptionCount(), h.Stats().Ignored["too_many_subscriptions"]; n != 3 || ignored != 3 {
		t.Errorf("%d subscriptions, %d ignored", n, ignored)
	}
	nothingMore(t, h, alice, bob)
	bob.sendAndSettle(subscribeRow) // others have room of their own
	bob.gets(`snapshot E/r "x"`)
	alice.sendAndSettle(`{"type":"unsubscribe","topic":"t0"}`)
	alice.sendAndSettle(subscribeRow)
	alice.gets(`snapshot E/r "x"`)
}

// The same for a client of a tenant, whose row may be the tenant's or nobody's: that is
// one subscription.
func TestMaxSubscriptionsOfATenant(t *testing.T) {
	h := start(t, func(o *Options) { o.MaxSubscriptions = 1 })
	for _, tenant := range []string{"", "acme"} {
		if err := h.PublishRow(Snapshot, tenant, "E", "r", []byte(tenant)); err != nil {
			t.Fatal(err)
		}
	}
	alice := listen(t, h, "alice@acme", "")
	alice.sendAndSettle(subscribeRow)
	alice.gets(`snapshot E/r "acme"`)
	alice.sendAndSettle(`{"type":"subscribe","topic":"t"}`)
	if n, ignored := h.SubscriptionCount(), h.Stats().Ignored["too_many_subscriptions"]; n != 1 || ignored != 1 {
		t.Errorf("%d subscriptions, %d ignored", n, ignored)
	}
}

// docs/protocol.md section 2 and 7: what is ignored, and what is over the relay rate, is counted by reason.
func TestIgnoredIsCounted(t *testing.T) {
	h := start(t, func(o *Options) { o.Rates.Relays.PerSecond, o.Rates.Relays.Burst = 1e-9, 2 })
	alice := listen(t, h, "alice", "")
	for _, text := range []string{`{`, `[]`, `{"type":1}`, `{"type":"subscribe"}`, `{"type":"crdt-subscribe"}`, `{"type":"x"}`} {
		alice.sendAndSettle(text)
	}
	for range 4 {
		alice.sendAndSettle(`{"type":"presence"}`)
	}
	if err := (&actor{listener: alice}).sayBinary(`"\x00"`); err != nil {
		t.Fatal(err)
	}
	s := h.Stats()
	if s.Ignored["malformed"] != 5 || s.Ignored["unknown_type"] != 1 || s.Ignored["binary"] != 1 {
		t.Errorf("ignored: %v", s.Ignored)
	}
	if s.Relayed != 2 || s.RateLimited["relays"] != 2 || s.RateLimitedBy["connection"] != 2 {
		t.Errorf("%d relayed, over the rate %v by %v", s.Relayed, s.RateLimited, s.RateLimitedBy)
	}
}

// Names of subscriptions are bounded in bytes: they may be as long as messages.
func TestLongNamesOfSubscriptions(t *testing.T) {
	h := start(t, func(o *Options) { o.MaxSubscriptions = 100 })
	alice := listen(t, h, "alice", "")
	long := strings.Repeat("x", 60_000)
	const fit = 1000 * subscriptionBytes / 60_000
	for i := range fit + 2 {
		alice.sendAndSettle(fmt.Sprintf(`{"type":"subscribe","topic":"%d%s"}`, i, long))
	}
	if n, ignored := h.SubscriptionCount(), h.Stats().Ignored["too_many_subscriptions"]; n != fit || ignored != 2 {
		t.Errorf("%d subscriptions, %d ignored; want %d and 2", n, ignored, fit)
	}
	alice.sendAndSettle(`{"type":"unsubscribe","topic":"0` + long + `"}`)
	alice.sendAndSettle(`{"type":"subscribe","entity":"` + long + `"}`)
	if n := h.SubscriptionCount(); n != fit {
		t.Errorf("%d subscriptions after one made room", n)
	}
}

// What waits in a queue or runs there counts for the memory that is kept, until it has ended.
func TestQueuesAreCounted(t *testing.T) {
	const callers = 20
	auth := AuthenticatorFunc(func(ctx context.Context, _ string) (*Identity, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	h := start(t, func(o *Options) { o.Auth, o.Workers, o.AuthTimeout = auth, 2, patience })
	held := func() int64 { return h.Stats().Buffered["outside"] }
	ctx, cancel := context.WithCancel(within(t))
	var calling sync.WaitGroup
	for i := range callers {
		calling.Go(func() { _, _ = h.Authenticate(ctx, "t", netip.AddrFrom4([4]byte{127, 0, 0, byte(i)})) })
	}
	eventually(t, "all are counted", func() bool { return held() >= callers*taskBytes })
	cancel()
	calling.Wait()
	eventually(t, "none is", func() bool { return held() == 0 })
}
