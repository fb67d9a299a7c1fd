package hub

import (
	"encoding/json"
	"testing"
)

// docs/protocol.md section 3: a change event reaches every client, with seq rising by one.
func TestChangeReachesEveryClient(t *testing.T) {
	h := start(t, nil)
	a, b := connect(t, h, "alice"), connect(t, h, "bob")
	for want := uint64(1); want <= 3; want++ {
		seq, err := h.PublishChange(Change{Entity: "Todo", RowID: "t_1", Kind: Insert, Data: json.RawMessage(`{"n":1}`), Timestamp: "7Z"})
		if err != nil || seq != want {
			t.Fatalf("seq %d, %v; want %d", seq, err, want)
		}
	}
	for _, c := range []*client{a, b} {
		for _, want := range []string{"1", "2", "3"} {
			if got := c.Text(); got != `{"seq":`+want+`,"entity":"Todo","row_id":"t_1","kind":"insert","data":{"n":1},"timestamp":"7Z"}` {
				t.Fatal(got)
			}
		}
	}
}
