package eventloop

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/wsproto"
)

// A client in each state is led to each: what may follow does, what may not changes nothing, and
// nobody was counted twice or forgotten.
func TestStatesFollowTheirTable(t *testing.T) {
	t.Parallel()
	h := &host{}
	h.onUpgrade = func(c *Client, r *wsproto.Request) {
		if r.Query != "wait" {
			h.admit(c, r)
		}
	}
	e := start(t, h, func(o *Options) { o.Loops = 1 })
	dial(t, e, "name=bystander")
	stay := h.id("bystander")
	for from := range states {
		for to := range states {
			switch from {
			case handshaking:
				connect(t, e)
			case authorising:
				connect(t, e).Say(request("wait"))
			default:
				dial(t, e, "name=x")
			}
			eventually(t, "it is there", func() bool {
				arrived := false
				everyLoop(t, e, func(l *Loop) {
					for _, c := range l.clients.slots {
						if c == nil || c.id == stay || c.state != min(from, open) {
							continue
						}
						arrived = true
						l.setState(c, from, CauseRejected)
						may := slices.Contains(successors[from], to)
						if done := l.setState(c, to, CauseSlow); done != may || may && c.state != to || !may && c.state != from {
							t.Errorf("from %d to %d: %v, and it is in %d", from, to, done, c.state)
						}
						c.conn.Close()
					}
				})
				return arrived
			})
		}
	}
	if s := e.Stats(); s.Connections != 1 || e.Clients() != 1 || s.Loops[0].Handshakes != 0 {
		t.Errorf("%d connections, %d clients, %d handshakes", s.Connections, e.Clients(), s.Loops[0].Handshakes)
	}
}

// Nothing but state.go sets a client's state.
func TestStateIsSetInOnePlace(t *testing.T) {
	t.Parallel()
	assigned := regexp.MustCompile(`\bc\.state(, [a-z.]+)* = `)
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		if name != "state.go" && !strings.HasSuffix(name, "_test.go") && assigned.Match(text) {
			t.Errorf("%s sets a client's state", name)
		}
	}
}
