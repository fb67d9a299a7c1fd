package eventloop

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gobwas/ws"
)

func ofTenant(name string) *Audience {
	return &Audience{Label: LabelTenant, Names: []string{name}}
}

// A name that all of a loop's clients have is everyone there, and costs no more. The empty
// name is one like any other.
func TestANameThatAllHaveIsEveryone(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops = 1 })
	everyone := func(tenant string) (is bool) {
		everyLoop(t, e, func(l *Loop) { is = l.isEveryone(ofTenant(tenant)) })
		return is
	}
	dial(t, e, "name=first")
	dial(t, e, "name=second")
	if !everyone("") || everyone("acme") {
		t.Errorf("two of none: %v, %v", everyone(""), everyone("acme"))
	}
	acme := dial(t, e, "name=third&tenant=acme")
	if everyone("") || everyone("acme") {
		t.Errorf("one of acme beside them: %v, %v", everyone(""), everyone("acme"))
	}
	acme.Close()
	eventually(t, "it is everyone again", func() bool { return everyone("") })
}

// Whatever joins and leaves: a client gets what is for everyone, for its name, and for the
// subscribers of its name, in the order in which that was published, and nothing else.
func TestAudiencesByName(t *testing.T) {
	t.Parallel()
	type member struct {
		*peer
		tenant     string
		subscribed bool
		want       []string
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 11))
			h := &host{}
			e := start(t, h)
			tenants := []string{"", "acme", "other"}[:1+seed%3]
			var members []*member
			join := func(n int) {
				name := fmt.Sprint("m", n)
				everyLoop(t, e, func(*Loop) {}) // has taken all that was published before
				m := &member{tenant: tenants[random.IntN(len(tenants))], subscribed: random.IntN(2) == 0}
				m.peer = dial(t, e, "name="+name+"&tenant="+m.tenant)
				if m.subscribed {
					on(t, e, h.id(name), func(c *Client) { c.Subscribe("topic") })
				}
				members = append(members, m)
			}
			expectAll := func(m *member) {
				for _, want := range m.want {
					m.Expect(ws.OpText, want)
				}
				m.want = nil
			}
			for n := range 200 {
				tenant := tenants[random.IntN(len(tenants))]
				var a *Audience
				reaches := func(m *member) bool { return true }
				switch op := random.IntN(10); {
				case op == 0 || len(members) == 0:
					join(n)
					continue
				case op == 1 && len(members) > 2:
					i := random.IntN(len(members))
					expectAll(members[i])
					members[i].Close()
					members = slices.Delete(members, i, i+1)
					continue
				case op < 4:
				case op < 8:
					a = ofTenant(tenant)
					reaches = func(m *member) bool { return m.tenant == tenant }
				default:
					a = &Audience{Key: "topic", Label: LabelTenant, Names: []string{tenant}}
					reaches = func(m *member) bool { return m.subscribed && m.tenant == tenant }
				}
				e.Publish(text("message %d", n), a)
				for _, m := range members {
					if reaches(m) {
						m.want = append(m.want, fmt.Sprint("message ", n))
					}
				}
			}
			e.Publish(text("last"), nil)
			for _, m := range members {
				m.want = append(m.want, "last")
				expectAll(m)
			}
		})
	}
}

// One tenant's messages reach nobody of another's, whatever has become of the count of clients: a panic in the
// middle of an end is the loop's mistake, and mustn't be the other tenant's.
func TestTenantsStayApartAfterAPanic(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops, o.Log = 1, slog.New(slog.DiscardHandler) })
	a, b := dial(t, e, "name=a&tenant=a"), dial(t, e, "name=b&tenant=b")
	victim := dial(t, e, "name=victim&tenant=a")
	on(t, e, h.id("victim"), func(c *Client) {
		l := c.loop
		for range 2 { // what an end begins with panics
			index := l.subs.Index
			l.subs.Index = nil
			l.guard(nil, func() { l.setState(c, gone, CauseServerClosed) })
			l.subs.Index = index
		}
		l.abort(c, CauseServerClosed)
	})
	victim.ExpectEnd()
	if n, panics := e.Clients(), panicsOf(e); n != 2 || panics != 2 {
		t.Errorf("%d clients after %d panics, want 2 after 2", n, panics)
	}
	e.Publish(text("for a"), ofTenant("a"))
	e.Publish(text("for b"), ofTenant("b"))
	a.Expect(ws.OpText, "for a")
	b.Expect(ws.OpText, "for b")
}
