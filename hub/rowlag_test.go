package hub

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// rowHistory publishes rows' snapshots and updates, each with the numbers of the updates that it has, and knows what
// a row is.
type rowHistory struct {
	h     *Hub
	rows  map[string][]int
	count int
	sent  int // bytes
}

func (g *rowHistory) publish(t *testing.T, kind RowKind, row string, filler int) {
	t.Helper()
	g.count++
	has := []int{g.count}
	if g.rows[row] = append(g.rows[row], g.count); kind == Snapshot {
		has = g.rows[row]
	}
	payload := fmt.Appendf(nil, "%d%s", has, strings.Repeat("x", filler))
	g.sent += len(payload)
	if err := g.h.PublishRow(kind, "", "E", row, payload); err != nil {
		t.Fatal(err)
	}
	if g.count%200 == 0 {
		handled(t, g.h) // a queue of its own isn't what is shown
	}
}

// follow applies what a client gets of rows until another message comes, and says how many frames those were. An update
// comes behind a frame that has all before it.
func (g *rowHistory) follow(t *testing.T, c *listener) (rows map[string][]int, frames int) {
	t.Helper()
	rows = make(map[string][]int)
	for {
		m := c.next()
		f, err := ParseRowFrame(m.data)
		if err != nil {
			return rows, frames
		}
		frames++
		numbers, _, _ := bytes.Cut(f.Payload, []byte("]"))
		var has []int
		for _, n := range bytes.Fields(numbers[1:]) {
			var number int
			if _, err := fmt.Sscan(string(n), &number); err != nil {
				t.Fatal(err)
			}
			has = append(has, number)
		}
		if f.Kind == Incremental {
			has = append(rows[f.RowID], has...)
		}
		if all := g.rows[f.RowID]; len(has) > len(all) || !slices.Equal(has, all[:len(has)]) {
			t.Fatalf("row %s has %d of %d updates: %v", f.RowID, len(has), len(all), has)
		}
		rows[f.RowID] = has
	}
}

// docs/protocol.md section 3, rows of a client that lags: one that stalls while more is published of its rows than may
// wait for it is sent, when it reads on, little more than the newest snapshots and what came behind them. It has each
// row as it is then, and nothing else was lost to it, whatever -slow says.
func TestStalledSubscriberGetsTheNewestSnapshots(t *testing.T) {
	for policy, name := range map[eventloop.SlowPolicy]string{
		eventloop.Disconnect: "disconnect", eventloop.DropOldest: "drop-oldest", eventloop.CatchUp: "catch-up",
	} {
		t.Run(name, func(t *testing.T) {
			const lag = 128 << 10
			h := start(t, func(o *Options) {
				roomy(o)
				o.Loops.SendBuffer, o.Loops.Slow.Policy = 16<<10, policy
				o.Loops.Slow.LagBytes, o.Loops.Slow.LagTime = lag, time.Hour
			})
			g := &rowHistory{h: h, rows: make(map[string][]int)}
			o := wstest.Bearer("sloth")
			o.HTTPClient = smallReceiver(t)
			conn, _, err := dialWith(t, h, "?since=0", o)
			if err != nil {
				t.Fatal(err)
			}
			c := listenOn(t, conn)
			for _, row := range []string{"a", "b", "c"} {
				g.publish(t, Snapshot, row, 0)
				c.sendAndSettle(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"E","rowId":%q}`, row))
			}
			eventually(t, "everything is subscribed", func() bool { return h.SubscriptionCount() == 3 })
			c.gate <- struct{}{}
			begin := g.sent
			for n := 0; g.sent < begin+40*lag; n++ {
				row := []string{"a", "a", "b"}[n%3]
				if g.publish(t, Incremental, row, 1000); n%20 < 2 {
					g.publish(t, Snapshot, row, 100)
				}
			}
			g.publish(t, Incremental, "c", 0) // there is no snapshot behind this one
			if _, err := h.PublishChange(Change{Entity: "E", RowID: "a", Kind: Update}); err != nil {
				t.Fatal(err)
			}
			handled(t, h)
			<-c.gate
			rows, frames := g.follow(t, c)
			for row, want := range g.rows {
				if !slices.Equal(rows[row], want) {
					t.Errorf("row %s ends with %d updates of %d: %v, want %v", row, len(rows[row]), len(want), rows[row], want)
				}
			}
			s := h.Stats()
			if most := g.count / 4; frames > most {
				t.Errorf("it was sent %d frames of %d", frames, g.count)
			}
			if frames+int(s.LagSuperseded) != g.count {
				t.Errorf("%d frames came, %d were superseded, of %d", frames, s.LagSuperseded, g.count)
			}
			if n := s.Dropped["slow_client"]; n > 0 {
				t.Errorf("%d messages were lost", n)
			}
			nothingMore(t, h, c)
		})
	}
}
