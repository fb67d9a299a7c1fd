package natslog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// publisher appends one change after the other, each again until it is stored.
type publisher struct {
	stored atomic.Int64
	acked  map[uint64]string // row by seq
}

func (p *publisher) run(t *testing.T, l *Log, name string, done <-chan struct{}) {
	p.acked = make(map[uint64]string)
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		default:
		}
		changes := []hub.Change{withOp(changeOf(fmt.Sprintf("%s%d", name, n)), fmt.Sprintf("%s%d", name, n))}
		if n%10 == 9 { // some of many, and without an op id
			changes = append(changes, changeOf(name+"b"), changeOf(name+"c"))
		}
		for {
			got, err := l.Append(changes)
			for i, a := range got {
				if p.acked[a.Seq] != "" && p.acked[a.Seq] != changes[i].RowID {
					t.Errorf("seq %d stands for %s and %s", a.Seq, p.acked[a.Seq], changes[i].RowID)
				}
				p.acked[a.Seq] = changes[i].RowID
			}
			if err == nil {
				break
			}
			if !errors.Is(err, hub.ErrLogUnavailable) {
				t.Error(err)
				return
			}
			changes = changes[len(got):]
		}
		p.stored.Add(1)
	}
}

// Three servers are killed, stopped and restarted under publishing: nothing that was acknowledged is lost, and both
// nodes have the same entries in the same order, once each.
func TestFaults(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 3, t.TempDir())
	logs := []*Log{open(t, options(t, c, 0)), open(t, options(t, c, 1))}
	var followers []*follower
	publishers := make([]publisher, len(logs))
	start := logs[0].Bounds().Last
	var running sync.WaitGroup
	done := make(chan struct{})
	for i, l := range logs {
		followers = append(followers, follow(l))
		running.Go(func() { publishers[i].run(t, l, fmt.Sprintf("p%d-", i), done) })
	}
	goesOn := func(when string) {
		t.Helper()
		before := []int64{publishers[0].stored.Load(), publishers[1].stored.Load()}
		wstest.Eventually(t, "publishers get on "+when, func() bool {
			return publishers[0].stored.Load() >= before[0]+20 && publishers[1].stored.Load() >= before[1]+20
		})
	}
	goesOn("at first")
	leader := c.Leader(logs[0].stream)
	leader.Kill()
	goesOn("without the leader that was killed")
	leader.Start()
	goesOn("with it again")
	leader = c.Leader(logs[0].stream)
	leader.Pause()
	goesOn("while the leader stands still")
	leader.GoOn()
	goesOn("when it goes on")
	for _, n := range c.Nodes {
		n.Kill()
	}
	for _, n := range c.Nodes {
		n.Start()
	}
	goesOn("after all were killed")
	close(done)
	running.Wait()
	checkFollowers(t, logs, followers, publishers, start)
}

// A server that takes itself for the leader may not know what was stored by the others meanwhile, as when it stood
// still. A client whose cursor is ahead of what it knows is told to resync only if most servers say the same.
func TestCursorAheadOfLonelyLeader(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 3, t.TempDir())
	leader := c.Leader(open(t, options(t, c, 0)).stream)
	l := open(t, options(t, c, slices.Index(c.Nodes, leader)))
	follow(l)
	got, err := l.Append([]hub.Change{changeOf("a")})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if n != leader {
			n.Pause()
		}
	}
	if _, err := l.Range(within(t), got[0].Seq+1, 10); !errors.Is(err, hub.ErrLogUnavailable) {
		t.Errorf("without the others: %v, want that it can't be known", err)
	}
	wstest.Eventually(t, "the log says that the stream can't store", func() bool { return l.Healthy() != nil })
	for _, n := range c.Nodes {
		if n != leader {
			n.GoOn()
		}
	}
	var resync *hub.ResyncError
	wstest.Eventually(t, "it is known that the cursor is no event's", func() bool {
		_, err := l.Range(within(t), got[0].Seq+1, 10)
		return errors.As(err, &resync)
	})
	wstest.Eventually(t, "the log is well again", func() bool { return l.Healthy() == nil })
}

func checkFollowers(t *testing.T, logs []*Log, followers []*follower, publishers []publisher, start uint64) {
	t.Helper()
	newest := uint64(0)
	for i := range publishers {
		for seq := range publishers[i].acked {
			newest = max(newest, seq)
		}
	}
	var first []hub.Entry
	for i, f := range followers {
		wstest.Eventually(t, "all are delivered", func() bool { return logs[i].Bounds().Last >= newest })
		entries := f.had()
		prev := start
		rows := make(map[uint64]string)
		ops := make(map[string]int)
		for _, e := range entries {
			if e.Prev != prev || e.Seq <= prev {
				t.Errorf("follower %d: %d says that it is behind %d, and came behind %d", i, e.Seq, e.Prev, prev)
			}
			prev = e.Seq
			_, row, _ := strings.Cut(string(e.JSON), `"row_id":"`)
			row, _, _ = strings.Cut(row, `"`)
			rows[e.Seq] = row
			if !strings.HasSuffix(row, "b") && !strings.HasSuffix(row, "c") {
				ops[row]++
			}
		}
		for j := range publishers {
			for seq, row := range publishers[j].acked {
				if rows[seq] != row {
					t.Errorf("follower %d: seq %d was acknowledged for %s, and is %q", i, seq, row, rows[seq])
				}
			}
		}
		for row, n := range ops {
			if n != 1 {
				t.Errorf("follower %d has %s %d times", i, row, n)
			}
		}
		if i == 0 {
			first = entries
		}
		n := min(len(first), len(entries)) // what was not acknowledged may still come
		if !slices.Equal(seqsOf(first[:n]), seqsOf(entries[:n])) {
			t.Error("the followers differ")
		}
	}
	t.Logf("%d events, %d and %d calls", len(first), publishers[0].stored.Load(), publishers[1].stored.Load())
}
