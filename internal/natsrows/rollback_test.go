package natsrows

import (
	"fmt"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// shows waits until a row is at a node what it is in the stream.
func (n *node) shows(t *testing.T, row, want string) {
	t.Helper()
	wstest.Eventually(t, fmt.Sprintf("row %s is %q", row, want), func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.has[row] == want
	})
}

func (n *node) told() int {
	return strings.Count(n.log.String(), "level=WARN msg=\"the stream of rows has l")
}

// Nodes that ran while the stream was restored from a backup have what it has now, and get what is stored from then on.
func TestStreamThatWentBack(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	a, b := open(t, c, 0, "back"), open(t, c, 0, "back")
	for _, row := range []string{"kept", "back"} {
		a.put(t, hub.Snapshot, row, "before")
	}
	c.BackUp()
	for i := range 20 {
		a.put(t, hub.Snapshot, "back", fmt.Sprint(i))
	}
	a.put(t, hub.Snapshot, "gone", "after")
	for _, n := range []*node{a, b} {
		for _, row := range []string{"kept", "back", "gone"} {
			n.watch(t, row, 0)
		}
		n.shows(t, "gone", "after")
	}
	c.Restore()
	for _, n := range []*node{a, b} {
		n.shows(t, "back", "before")
		n.shows(t, "kept", "before")
		n.shows(t, "gone", "")
	}
	a.put(t, hub.Snapshot, "back", "new")
	b.put(t, hub.Snapshot, "gone", "new")
	b.put(t, hub.Incremental, "kept", "new")
	third := open(t, c, 0, "back")
	for _, n := range []*node{a, b, third} {
		for _, row := range []string{"back", "gone"} {
			if r := n.watch(t, row, 0); r == nil || string(r.Payload) != "new" {
				t.Errorf("a newcomer gets %+v of row %s", r, row)
			}
			n.shows(t, row, "new")
		}
		n.watch(t, "kept", 0)
		wstest.Eventually(t, "the update is there", func() bool { had := n.payloads("kept"); return had[len(had)-1] == "11 new" })
	}
	if a.told() != 1 || b.told() != 1 || third.told() != 0 {
		t.Errorf("logged %d, %d and %d times", a.told(), b.told(), third.told())
	}
}

// A node that hears of it late, when others that didn't know have stored more than was lost.
func TestStreamThatWentBackAndOn(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	first := open(t, c, 0, "on")
	for _, row := range []string{"old", "same", "gone"} {
		first.put(t, hub.Snapshot, row, "before")
	}
	c.BackUp()
	first.put(t, hub.Snapshot, "same", "lost")
	first.put(t, hub.Snapshot, "gone", "lost")
	late := openQuietly(t, optionsOf(t, c, "on"))
	for _, row := range []string{"old", "same", "gone"} {
		late.watch(t, row, 0)
	}
	_ = first.Close()
	c.Restore()
	other := open(t, c, 0, "on")
	for _, row := range []string{"same", "1", "2", "3"} {
		other.put(t, hub.Snapshot, row, "after")
	}
	late.Follow(late.deliver, late.wanted, late.forget)
	late.shows(t, "same", "after")
	late.shows(t, "gone", "before")
	if late.told() != 1 {
		t.Errorf("logged %d times", late.told())
	}
}

// What the stream hasn't any more no node gives to newcomers, and its subscribers get what is stored from then on.
func TestStreamThatWasPurgedOrMadeAnew(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	for what, lose := range map[string]func(n *node) error{
		"purged":  func(n *node) error { return n.stream.Purge(within(t)) },
		"deleted": func(n *node) error { return n.js.DeleteStream(within(t), n.name()) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a := open(t, c, 0, what)
			a.watch(t, "r", 0)
			a.put(t, hub.Snapshot, "r", "1")
			a.shows(t, "r", "1")
			if err := lose(a); err != nil {
				t.Fatal(err)
			}
			b := open(t, c, 0, what) // which makes it anew
			a.shows(t, "r", "")
			if r := a.watch(t, "r", 0); r != nil {
				t.Errorf("a newcomer gets %+v", r)
			}
			b.put(t, hub.Incremental, "r", "1a")
			b.put(t, hub.Snapshot, "r", "2")
			a.shows(t, "r", "2")
			equal(t, "the subscribers", a.payloads("r"), "10 1", "11 1a", "10 2")
			if a.told() != 1 {
				t.Errorf("logged %d times", a.told())
			}
		})
	}
}
