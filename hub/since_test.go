package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// roomy lets a hub keep up with publishers at full speed: what is tested isn't loss. Nor is
// it who answers pings: clients that don't read don't.
func roomy(o *Options) {
	o.Loops.Timeouts.PingInterval = time.Hour
	o.Loops.Memory.QueueMessages, o.Loops.Slow.LagBytes, o.Loops.Accept.MaxPerAddress = 1<<20, 1<<30, -1
	o.Log, o.Rates.Relays.PerSecond = NewMemoryLog(1<<20, 0), -1
}

// nextSeq is the seq of the next change event; those who leave are passed over.
func nextSeq(t *testing.T, c *listener) uint64 {
	t.Helper()
	for {
		text := c.next().String()
		rest, isChange := strings.CutPrefix(text, `{"seq":`)
		if isChange {
			digits, _, _ := strings.Cut(rest, ",")
			seq, err := strconv.ParseUint(digits, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return seq
		}
		if _, err := leavesOf(text); err != nil {
			t.Fatal(err)
		}
	}
}

// publishers publish changes from several goroutines until the function is called that
// is returned.
func publishers(t *testing.T, h *Hub, n int) (stop func() (last uint64)) {
	var done atomic.Bool
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			for n := 0; n < 2000 && !done.Load(); n++ {
				if _, err := h.PublishChange(Change{Entity: "E", RowID: "r", Kind: Update, Timestamp: "1Z"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() uint64 {
		done.Store(true)
		running.Wait()
		return h.Stats().LastSeq
	}
}

// docs/protocol.md section 1: since goes on live with neither gap nor repeat, however much is published
// meanwhile and however many pages it takes.
func TestSinceHasNeitherGapNorRepeat(t *testing.T) {
	h := start(t, roomy)
	for range 2 * pageEvents { // more than a page from the start on
		if _, err := h.PublishChange(Change{Entity: "E", RowID: "r", Kind: Insert}); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 2 {
		stop := publishers(t, h, 3)
		var clients []*listener
		var cursors []uint64
		for i := range uint64(6) { // from near the end to over several pages
			last := h.Stats().LastSeq
			since := last - min(last, (i*4*pageEvents+rand.Uint64N(4*pageEvents))/6)
			clients = append(clients, listen(t, h, "alice", fmt.Sprintf("?since=%d", since)))
			cursors = append(cursors, since)
		}
		last := stop()
		for i, c := range clients {
			for want := cursors[i] + 1; want <= last; want++ {
				if got := nextSeq(t, c); got != want {
					t.Fatalf("round %d, since %d of %d: got %d, want %d", round, cursors[i], last, got, want)
				}
			}
		}
		end, err := h.PublishChange(Change{Entity: "E", RowID: "end", Kind: Update})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			if got := nextSeq(t, c); got != end {
				t.Fatalf("got %d where %d is next", got, end)
			}
		}
		for _, c := range clients {
			_ = c.CloseNow()
		}
		eventually(t, "all have left", func() bool { return h.ClientCount() == 0 })
	}
}

// docs/protocol.md section 1 and 5: events for others are left out, over several pages too.
func TestSinceLeavesOutOtherAudiences(t *testing.T) {
	h := start(t, roomy)
	want := []uint64{}
	for n := range 3 * pageEvents {
		c := Change{Entity: "E", RowID: "r", Kind: Update}
		switch n % 5 {
		case 0:
			c.Audience.Users = []string{"bob"}
		case 1:
			c.Audience.Tenant = "other"
		case 2:
			c.Audience.Topic = "news"
		case 3:
			c.Audience.Users = []string{"bob", "alice"}
		case 4:
			c.Audience.Tenant = "acme"
		}
		seq, err := h.PublishChange(c)
		if err != nil {
			t.Fatal(err)
		}
		if n%5 > 2 {
			want = append(want, seq)
		}
	}
	alice := listen(t, h, "alice@acme", "?since=0")
	for _, seq := range want {
		if got := nextSeq(t, alice); got != seq {
			t.Fatalf("got %d, want %d", got, seq)
		}
	}
	nothingMore(t, h, alice)
}

// docs/protocol.md section 1, since: an admin that comes back is given what it would have been given live,
// also where its identity has a user or a tenant. Pulling gives it everything.
func TestSinceGivesAdminsWhatTheyGetLive(t *testing.T) {
	admins := map[string]*Identity{
		"plain": {Admin: true}, "bob": {Admin: true, UserID: "bob"}, "bob@acme": {Admin: true, UserID: "bob", Tenant: "acme"},
	}
	h := start(t, func(o *Options) {
		o.Auth = AuthenticatorFunc(func(_ context.Context, token string) (*Identity, error) { return admins[token], nil })
	})
	live := map[string]*listener{}
	for token := range admins {
		live[token] = listen(t, h, token, "")
	}
	for _, a := range []Audience{{}, {Users: []string{"bob"}}, {Users: []string{"eve"}}, {Tenant: "acme"}, {Tenant: "other"}, {Topic: "t"}, {}} {
		mustPublish(t, h, Change{Entity: "E", RowID: "r", Kind: Update, Audience: a})
	}
	for token, want := range map[string][]uint64{"plain": {1, 7}, "bob": {1, 2, 7}, "bob@acme": {1, 2, 4, 7}} {
		back := listen(t, h, token, "?since=0")
		for _, seq := range want {
			if got := nextSeq(t, live[token]); got != seq {
				t.Errorf("%s, live: got %d, want %d", token, got, seq)
			}
			if got := nextSeq(t, back); got != seq {
				t.Errorf("%s, since: got %d, want %d", token, got, seq)
			}
		}
		nothingMore(t, h, live[token], back)
		p, err := h.Pull(within(t), admins[token], 0, 100)
		if seqs := pulledSeqs(p); err != nil || !slices.Equal(seqs, []uint64{1, 2, 3, 4, 5, 7}) {
			t.Errorf("%s, pull: %v, %v", token, seqs, err)
		}
	}
}

// What isn't a change event waits for a client that catches up, or comes at once, and
// isn't lost once it is live.
func TestLiveAfterCatchingUp(t *testing.T) {
	h := start(t, func(o *Options) { roomy(o); o.Loops.Slow.Policy = eventloop.DropOldest })
	for range pageEvents + 1 {
		if _, err := h.PublishChange(Change{Entity: "E", RowID: "r", Kind: Update}); err != nil {
			t.Fatal(err)
		}
	}
	alice := listen(t, h, "alice", "?since=1")
	for want := uint64(2); want <= pageEvents+1; want++ {
		if got := nextSeq(t, alice); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	alice.sendAndSettle(`{"type":"presence"}`)
	alice.gets(`{"type":"presence","from":"alice"}`)
	nothingMore(t, h, alice)
}
