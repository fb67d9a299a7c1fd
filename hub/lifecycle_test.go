package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
)

// lifeOperations are what can happen, by a guest and a number.
var lifeOperations = []func(l *life, g *guest, n int){
	(*life).arrive, (*life).arrive, (*life).subscribeRow, (*life).unsubscribeRow, (*life).toggleTopic, (*life).toggleEntity,
	(*life).publishSnapshot, (*life).publishUpdate, (*life).publishChange, (*life).publishTopic, (*life).presence,
	(*life).leave, (*life).revoke, (*life).publishSnapshot, (*life).subscribeRow,
	(*life).stall, (*life).resume, (*life).publishBulk, (*life).vanish, (*life).revokeStalled, (*life).stall,
}

// arrive connects a guest that is away, every other time with its cursor.
func (l *life) arrive(g *guest, n int) {
	if g.listener != nil {
		return
	}
	g.wants = map[string]bool{}
	query := ""
	if n%2 == 1 {
		query = fmt.Sprintf("?since=%d", g.cursor)
		g.owed = l.missed(g)
	}
	g.listener = listen(l.t, l.h, g.user+"@"+g.tenant, query)
	l.nothingElse(g) // it is live now
}

func (l *life) tell(g *guest, format string, args ...any) {
	l.reading(g)
	g.sendAndSettle(fmt.Sprintf(format, args...))
}

func (l *life) subscribeRow(g *guest, n int) {
	if g.listener == nil {
		return
	}
	name, at := l.row(n)
	denied := l.h.Stats().RowsDenied
	l.tell(g, `{"type":"crdt-subscribe","entity":%q,"rowId":%q}`, l.entity, name)
	g.wants[name] = true
	if !l.rows[at].readableBy(g) { // it waits for one that is
		eventually(l.t, "nothing is found for the subscription", func() bool { return l.h.Stats().RowsDenied > denied })
		return
	}
	g.owed = append(g.owed, fmt.Sprintf("snapshot %s/%s %q", l.entity, name, l.rows[at].payload))
	l.check(g)
}

func (l *life) unsubscribeRow(g *guest, n int) {
	if g.listener != nil {
		name, _ := l.row(n)
		l.tell(g, `{"type":"crdt-unsubscribe","entity":%q,"row_id":%q}`, l.entity, name)
		delete(g.wants, name)
	}
}

func (l *life) toggleTopic(g *guest, _ int) { l.toggle(g, "topic", "topic") }

func (l *life) toggleEntity(g *guest, _ int) { l.toggle(g, "entity", "entity") }

func (l *life) toggle(g *guest, what, key string) {
	if g.listener == nil {
		return
	}
	if g.wants[key] {
		l.tell(g, `{"type":"unsubscribe",%q:%q}`, what, l.entity)
		delete(g.wants, key)
		return
	}
	l.tell(g, `{"type":"subscribe",%q:%q}`, what, l.entity)
	g.wants[key] = true
}

// publishSnapshot is for the guest's tenant, or for everyone, whosever the row was.
func (l *life) publishSnapshot(g *guest, n int) {
	name, at := l.row(n)
	l.rows[at] = modelledRow{payload: l.large()}
	if n%2 == 1 {
		l.rows[at].tenant = g.tenant
	}
	l.publishRow(Snapshot, "snapshot", name, l.rows[at])
}

func (l *life) publishUpdate(_ *guest, n int) {
	name, at := l.row(n)
	l.publishRow(Incremental, "update", name, modelledRow{l.large(), l.rows[at].tenant})
}

func (l *life) publishRow(kind RowKind, verb, name string, row modelledRow) {
	if err := l.h.PublishRow(kind, row.tenant, l.entity, name, []byte(row.payload)); err != nil {
		l.t.Fatal(err)
	}
	l.owe(fmt.Sprintf("%s %s/%s %q", verb, l.entity, name, row.payload), func(g *guest) bool { return g.wants[name] && row.readableBy(g) })
}

func (l *life) publishChange(g *guest, n int) {
	switch n % 3 {
	case 0:
		l.owe(l.change(Audience{}), whoWants("entity"))
	case 1:
		l.owe(l.change(Audience{Users: []string{g.user}}), func(other *guest) bool { return other.user == g.user })
	case 2:
		l.owe(l.change(Audience{Topic: l.entity}), whoWants("topic"))
	}
}

func (l *life) publishTopic(_ *guest, _ int) {
	data := fmt.Sprintf("%q", l.fresh())
	if err := l.h.PublishTopic("", l.entity, []byte(data)); err != nil {
		l.t.Fatal(err)
	}
	l.owe(fmt.Sprintf(`{"type":"topic","topic":%q,"data":%s}`, l.entity, data), whoWants("topic"))
}

func (l *life) presence(g *guest, _ int) {
	if g.listener == nil {
		return
	}
	text := fmt.Sprintf(`{"type":"presence","n":%q`, l.fresh())
	l.tell(g, "%s}", text)
	l.owe(fmt.Sprintf(`%s,"from":%q}`, text, g.user), everyGuest)
}

// leave is with or without a word.
func (l *life) leave(g *guest, n int) {
	if g.listener == nil {
		return
	}
	l.nothingElse(g)
	l.away(g, func() {
		if n%2 == 0 {
			_ = g.CloseNow()
		} else if err := g.Close(websocket.StatusNormalClosure, ""); err != nil {
			l.t.Fatal(err)
		}
	})
}

func (l *life) revoke(g *guest, _ int) {
	if g.listener == nil {
		return
	}
	l.nothingElse(g)
	l.h.CloseIdentity(isUser(g.user), "revoked")
	if code, _ := g.ended(); code != websocket.StatusPolicyViolation {
		l.t.Fatalf("closed with %d", code)
	}
	l.away(g, nil)
}

// away has a guest go, unless the hub has ended it, and waits until the hub knows.
func (l *life) away(g *guest, bye func()) {
	if bye != nil {
		bye()
	}
	l.reading(g)
	g.listener, g.owed, g.wants = nil, nil, nil
	here := 0
	for i := range l.guests {
		if l.guests[i].listener != nil {
			here++
		}
	}
	eventually(l.t, "the hub knows that it has left", func() bool { return l.h.ClientCount() == here })
	g.cursor = l.h.Stats().LastSeq
}

// routed is for lives. With a small send buffer whoever stalls soon lags.
func routed(o *Options) {
	roomy(o)
	o.Routing, o.Relays, o.Loops.SendBuffer = RouteSubscribed, RelayAll, 16<<10
}

// docs/protocol.md section 1 to 3 as a model sees them, over random lives.
func TestLifeRandomly(t *testing.T) {
	h := start(t, routed)
	for seed := range uint64(3) { // more of them is what FuzzHub does
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			operations := make([]byte, 400)
			for i := range operations {
				operations[i] = byte(random.Uint32())
			}
			newLife(t, h).live(operations)
		})
	}
}

// FuzzHub is the same for operations that a fuzzer thinks of: two bytes each.
func FuzzHub(f *testing.F) {
	h := start(f, routed)
	empty := openFiles(f)
	unvisited := func(l eventloop.LoopStats) bool { return l.Accepted == 0 }
	for slices.ContainsFunc(h.Stats().Loops, unvisited) { // the kernel picks the loop by chance
		newLife(f, h).live([]byte{0, 0, 0, 1, 0, 2, 0, 3})
	}
	eventually(f, "each loop has the pair of sockets that it opens with its first client", func() bool {
		return openFiles(f) == empty+2*h.Loops()
	})
	f.Add([]byte{0, 0, 0, 1, 6, 0, 2, 0, 2, 1, 7, 0, 11, 0, 8, 0, 0, 4, 12, 1})
	f.Add([]byte{0, 0, 0, 1, 15, 0, 17, 0, 17, 0, 17, 0, 17, 0, 17, 0, 17, 0, 17, 0, 17, 0, 8, 0, 17, 0, 17, 0, 16, 0, 17, 0, 15, 1, 17, 0, 18, 1})
	rowsOfALaggard := slices.Repeat([]byte{6, 0, 7, 0, 7, 0, 6, 16, 7, 16}, 6)
	f.Add(slices.Concat([]byte{0, 0, 6, 0, 2, 0, 6, 16, 2, 16, 15, 0}, slices.Repeat([]byte{17, 0}, 12), rowsOfALaggard, []byte{16, 0}))
	f.Add([]byte{0, 0, 13, 0, 2, 0, 15, 0, 17, 0, 17, 0, 17, 0, 17, 0, 17, 0, 17, 0, 17, 0, 7, 0, 19, 0, 0, 4, 17, 0, 3, 0})
	f.Add([]byte{0, 2, 5, 2, 8, 2, 10, 2, 11, 2, 8, 2, 8, 6, 8, 10, 0, 6, 12, 2})
	f.Fuzz(func(t *testing.T, operations []byte) {
		files := openFiles(t)
		newLife(t, h).live(operations[:min(len(operations), 400)])
		nothingLeft(t, h, files)
	})
}
