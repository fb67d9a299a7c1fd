package natsrows

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// Three servers, of which the leader is killed and then all are restarted while both nodes put rows: followers see
// nothing older behind something newer (open checks that), and end with each row's newest.
func TestFaults(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 3, natstest.InMemory(t))
	nodes := []*node{open(t, c, 0, "faults"), open(t, c, 1, "faults")}
	const rows = 10
	for _, n := range nodes {
		for r := range rows {
			n.watch(t, fmt.Sprint(r), 0)
		}
	}
	var stored [2]atomic.Int64
	var running sync.WaitGroup
	done := make(chan struct{})
	for w, n := range nodes {
		running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				kind := hub.Snapshot
				if i%3 == 2 {
					kind = hub.Incremental
				}
				err := n.Put(&hub.StoredRow{Kind: kind, Entity: "E", RowID: fmt.Sprint(i % rows), Payload: fmt.Append(nil, w, i)})
				if err == nil {
					stored[w].Add(1)
				} else if !errors.Is(err, hub.ErrLogUnavailable) {
					t.Error(err)
					return
				}
			}
		})
	}
	goesOn := func(when string) {
		t.Helper()
		before := [2]int64{stored[0].Load(), stored[1].Load()}
		wstest.Eventually(t, "rows are stored "+when, func() bool {
			return stored[0].Load() >= before[0]+20 && stored[1].Load() >= before[1]+20
		})
	}
	goesOn("at first")
	leader := c.Leader(nodes[0].stream)
	leader.Kill()
	goesOn("without the leader that was killed")
	leader.Start()
	goesOn("with it again")
	for _, n := range c.Nodes {
		n.Kill()
	}
	for _, n := range c.Nodes {
		n.Start()
	}
	goesOn("after all were killed")
	close(done)
	running.Wait()
	checkSame(t, nodes, rows)
	t.Logf("%d and %d rows", stored[0].Load(), stored[1].Load())
}
