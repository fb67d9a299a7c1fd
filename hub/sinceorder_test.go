package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// docs/protocol.md section 3, order: a client that is still given what it has missed gets all that one publisher
// publishes meanwhile, events or not, once and in that order.
func TestOrderWhileCatchingUp(t *testing.T) {
	const missed, published = 200, 300
	fetched := make(chan struct{}, 1)
	h := start(t, func(o *Options) {
		roomy(o)
		o.Loops.SendBuffer, o.Loops.Slow.LagTime = 16<<10, patience // it catches up as it reads
		o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
			fetched <- struct{}{}
			return []byte("snapshot"), true, nil
		}
	})
	change := func(data string) {
		if _, err := h.PublishChange(Change{Entity: "E", RowID: "r", Kind: Update, Data: json.RawMessage(data)}); err != nil {
			t.Fatal(err)
		}
	}
	for range missed { // several megabytes and pages
		change(`"` + strings.Repeat("x", 32<<10) + `"`)
	}
	c := connectQuery(t, h, "alice", "?since=0")
	if err := c.Write(within(t), websocket.MessageText, []byte(subscribeRow)); err != nil {
		t.Fatal(err)
	}
	events := 0
	for len(fetched) == 0 { // until it has taken most of the first page
		if _, _, err := c.Read(within(t)); err != nil {
			t.Fatal(err)
		}
		events++
	}
	eventually(t, "the snapshot is on its way", func() bool { return h.queues.fetches.Stats().Running == 0 })
	handled(t, h)
	for n := range published {
		switch n % 4 {
		case 0:
			change(fmt.Sprint(n))
		case 1:
			if err := h.PublishRow(Incremental, "", "E", "r", fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := h.PublishTopic("", "news", fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
		case 3:
			if err := h.BroadcastBinary(fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	lagging := 0
	for _, l := range h.engine.Stats().Loops {
		lagging += l.Lagging
	}
	if lagging == 0 || events > missed/2 {
		t.Fatal("it has caught up already, and nothing is shown")
	}
	for next := 0; next < published; {
		_, message, err := c.Read(within(t))
		if err != nil {
			t.Fatalf("after %d: %v", next, err)
		}
		switch text := string(message); {
		case strings.Contains(text, `"xxx`):
			if events++; next > 0 {
				t.Fatalf("event %d, which was missed, comes behind %d", events, next)
			}
		case strings.HasSuffix(text, "snapshot"):
			if events != missed {
				t.Fatalf("the snapshot comes ahead of %d events that were published before it", missed-events)
			}
		default:
			if !strings.Contains(text, fmt.Sprint(next)) {
				t.Fatalf("got %.80q, %d is next", text, next)
			}
			if events != missed {
				t.Fatalf("%.80q comes ahead of %d events", text, missed-events)
			}
			next++
		}
	}
}
