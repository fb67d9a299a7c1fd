package natslog

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/dedup"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// An op id counts once: in one call, over calls, at other nodes, and after a restart.
func testOpIDs(t *testing.T, c *natstest.Cluster) {
	a := open(t, named(t, c, "ops"))
	fa := follow(a)
	start := a.Bounds().Last
	at := func(n uint64, repeated bool) hub.Appended { return hub.Appended{Seq: start + n, Repeated: repeated} }
	odd := strings.Repeat("\n/\u00e9 ", 50)
	first := mustAppend(t, a, withOp(changeOf("1"), "x"), changeOf("2"), withOp(changeOf("1"), "x"), withOp(changeOf("3"), odd))
	if want := []hub.Appended{at(1, false), at(2, false), at(1, true), at(3, false)}; !slices.Equal(first, want) {
		t.Errorf("got %+v, want %+v", first, want)
	}
	b := open(t, named(t, c, "ops"))
	follow(b)
	for name, l := range map[string]*Log{"same node": a, "after a restart": b} {
		done := mustAppend(t, l, withOp(changeOf("1"), "x"), withOp(changeOf("3"), odd))
		if want := []hub.Appended{at(1, true), at(3, true)}; !slices.Equal(done, want) {
			t.Errorf("%s: got %+v, want %+v", name, done, want)
		}
	}
	b.ids.Lock()
	b.ids.ops = dedup.New(dedup.Limit, dedup.Age) // as when more were published since: the stream still knows
	b.ids.Unlock()
	done := mustAppend(t, b, changeOf("4"), withOp(changeOf("1"), "x"), changeOf("5"), withOp(changeOf("3"), odd))
	if done[1] != at(1, true) || done[3] != at(3, true) || done[0].Seq != start+4 || done[2].Seq != start+5 {
		t.Errorf("got %+v", done)
	}
	wstest.Eventually(t, "all are delivered", func() bool { return len(fa.had()) == 5 })
}

// An op whose event a bump has let go of is stored again, and once, though NATS knows the id: by nodes that have seen
// the bump and such that haven't yet.
func testOpIDsAndABump(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "bumped")
	l := open(t, o)
	follow(l)
	mustAppend(t, l, withOp(changeOf("1"), "1/"), withOp(changeOf("2"), "2"), withOp(changeOf("3"), "3"))
	late := open(t, o)
	late.ids.ops = dedup.New(dedup.Limit, dedup.Age)
	_, last, err := Bump(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustAppend(t, late, withOp(changeOf("1"), "1/")); got[0] != (hub.Appended{Seq: last + 1}) {
		t.Errorf("got %+v behind %d", got, last)
	}
	if got := mustAppend(t, late, withOp(changeOf("1"), "1/"), withOp(changeOf("2"), "2")); got[0] != (hub.Appended{Seq: last + 1, Repeated: true}) || got[1] != (hub.Appended{Seq: last + 2}) {
		t.Errorf("got %+v behind %d", got, last)
	}
	fresh := open(t, o)
	fresh.ids.ops = dedup.New(dedup.Limit, dedup.Age)
	for i, op := range []string{"1/", "2", "3"} {
		if got := mustAppend(t, fresh, withOp(changeOf(op), op)); got[0] != (hub.Appended{Seq: last + 1 + uint64(i), Repeated: op != "3"}) {
			t.Errorf("%s: got %+v behind %d", op, got, last)
		}
	}
	export, err := OpenExport(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	err = export.Each(within(t), func(c *hub.Change, _ time.Time) error {
		ops = append(ops, c.OpID)
		return nil
	})
	if want := []string{"1/", "2", "3"}; err != nil || !slices.Equal(ops, want) {
		t.Errorf("copied %q, %v; want %q", ops, err, want)
	}
	if err := export.Close(within(t), false); err != nil {
		t.Error(err)
	}
}

// The answer comes when all that is new is delivered, wherever in the call a repeat is.
func testRepeatAmongFresh(t *testing.T, c *natstest.Cluster) {
	a := open(t, named(t, c, "repeat"))
	delivered := make(chan uint64)
	a.Follow(func(entries []hub.Entry) {
		for _, e := range entries {
			delivered <- e.Seq
		}
	})
	appended := make(chan []hub.Appended, 1)
	publish := func(changes ...hub.Change) <-chan []hub.Appended {
		go func() { appended <- mustAppend(t, a, changes...) }()
		return appended
	}
	first := publish(withOp(changeOf("1"), "op"))
	<-delivered
	<-first
	done := publish(changeOf("fresh"), withOp(changeOf("1"), "op"))
	wstest.Eventually(t, "the fresh one is stored", func() bool {
		last, err := a.askLeader(within(t))
		return err == nil && last == a.Bounds().Before+2
	})
	select {
	case got := <-done:
		t.Errorf("answered with %+v, and not delivered", got)
	case seq := <-delivered:
		if got := <-done; got[0].Seq != seq || !got[1].Repeated {
			t.Errorf("got %+v, delivered %d", got, seq)
		}
	}
}
