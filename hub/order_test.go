package hub

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// docs/protocol.md section 3, order: what one publisher published in an order, one client receives in that
// order, over all kinds and however many others publish.
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
	for p := range publishers {
		running.Go(func() {
			for n := range each {
				if err := publishAny(h, p, fmt.Sprintf("<%d:%d>", p, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	for _, c := range clients {
		next := make([]int, publishers)
		for range publishers * each {
			text := c.next().String()
			_, tag, _ := strings.Cut(text, "<")
			var p, n int
			if _, err := fmt.Sscanf(tag, "%d:%d>", &p, &n); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if n != next[p] {
				t.Fatalf("of publisher %d came %d in the place of %d: %s", p, n, next[p], text)
			}
			next[p]++
		}
	}
	nothingMore(t, h, clients...)
}

// publishAny publishes the tag as one of the kinds of messages.
func publishAny(h *Hub, p int, tag string) error {
	text, err := json.Marshal(tag)
	if err != nil {
		return err
	}
	text = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(text)))
	switch rand.IntN(7) {
	case 0:
		_, err = h.PublishChange(Change{Entity: "E", RowID: tag, Kind: Insert})
	case 1:
		_, err = h.PublishChange(Change{Entity: "E", RowID: tag, Kind: Insert, Audience: Audience{Topic: fmt.Sprintf("t%d", p)}})
	case 2:
		err = h.PublishPresence("", fmt.Appendf(nil, `{"tag":%s}`, text))
	case 3:
		err = h.PublishTopic("", "t", text)
	case 4:
		err = h.PublishRow(Snapshot, "", "E", fmt.Sprint(p), []byte(tag))
	case 5:
		err = h.PublishRow(Incremental, "", "E", fmt.Sprint(p), []byte(tag))
	case 6:
		err = h.BroadcastBinary([]byte(tag))
	}
	return err
}
