package hub

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// docs/protocol.md section 3, order: what one publisher published in an order, one client receives in that
// order, over all kinds and however many others publish; but for messages of a row of which a newer snapshot was there
// when the client was behind, which are counted.
func TestOrderOverKinds(t *testing.T) {
	h := start(t, roomy)
	const publishers, each = 4, 300
	for p := range publishers {
		if err := h.PublishRow(Snapshot, "", "E", fmt.Sprint(p), []byte("first")); err != nil {
			t.Fatal(err)
		}
	}
	var clients []*listener
	for i := range 3 {
		c := listen(t, h, fmt.Sprintf("user%d", i), "")
		for p := range publishers {
			c.sendAndSettle(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"E","rowId":"%d"}`, p))
			c.next()
			c.sendAndSettle(fmt.Sprintf(`{"type":"subscribe","topic":"t%d"}`, p))
		}
		clients = append(clients, c)
	}
	handled(t, h)
	var running sync.WaitGroup
	var kinds [publishers][each]int
	for p := range publishers {
		running.Go(func() {
			for n := range each {
				kinds[p][n] = rand.IntN(7)
				if err := publishAny(h, kinds[p][n], p, fmt.Sprintf("<%d:%d>", p, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	superseded := 0
	for _, c := range clients {
		next := make([]int, publishers)
		for slices.Min(next) < each {
			text := c.next().String()
			_, tag, _ := strings.Cut(text, "<")
			var p, n int
			if _, err := fmt.Sscanf(tag, "%d:%d>", &p, &n); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			for ; next[p] < n && (kinds[p][next[p]] == snapshots || kinds[p][next[p]] == updates); next[p]++ {
				superseded++
			}
			if n != next[p] {
				t.Fatalf("of publisher %d came %d in the place of %d: %s", p, n, next[p], text)
			}
			next[p]++
		}
	}
	nothingMore(t, h, clients...)
	if counted := h.Stats().LagSuperseded; counted != uint64(superseded) {
		t.Errorf("%d messages of rows didn't come, and %d are counted", superseded, counted)
	}
}

// Two of the seven kinds.
const snapshots, updates = 4, 5

// publishAny publishes the tag as one of the kinds of messages.
func publishAny(h *Hub, kind, p int, tag string) error {
	text, err := json.Marshal(tag)
	if err != nil {
		return err
	}
	text = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(text)))
	switch kind {
	case 0:
		_, err = h.PublishChange(Change{Entity: "E", RowID: tag, Kind: Insert})
	case 1:
		_, err = h.PublishChange(Change{Entity: "E", RowID: tag, Kind: Insert, Audience: Audience{Topic: fmt.Sprintf("t%d", p)}})
	case 2:
		err = h.PublishPresence("", fmt.Appendf(nil, `{"tag":%s}`, text))
	case 3:
		err = h.PublishTopic("", "t", text)
	case snapshots:
		err = h.PublishRow(Snapshot, "", "E", fmt.Sprint(p), []byte(tag))
	case updates:
		err = h.PublishRow(Incremental, "", "E", fmt.Sprint(p), []byte(tag))
	case 6:
		err = h.BroadcastBinary([]byte(tag))
	}
	return err
}
