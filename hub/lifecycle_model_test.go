package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// life is a run of operations on a hub, and beside it a model of what each client has to
// get. An operation is over when the hub has acted on it, so the model is simple: what a
// client is owed is a list in order.
type life struct {
	t       testing.TB
	h       *Hub
	entity  string // of this run alone
	guests  [4]guest
	rows    [3]modelledRow
	events  []happened
	payload int
	bulks   int

	superseded uint64 // of the hub, before
	skipped    uint64 // frames of rows that newer snapshots came instead of
}

// guest is one of those who come and go. Its user is the same each time.
type guest struct {
	*listener      // nil while it is away
	stalled   bool // it reads nothing
	user      string
	tenant    string // of two
	cursor    uint64 // seq behind which it has missed what came
	owed      []string
	wants     map[string]bool // keys that it is subscribed to
}

// modelledRow is what the hub has stored of a row: no payload before the first snapshot.
type modelledRow struct{ payload, tenant string }

// readableBy is whether a guest is sent the row's snapshot.
func (r modelledRow) readableBy(g *guest) bool {
	return r.payload != "" && (r.tenant == "" || r.tenant == g.tenant)
}

// happened is a change event that whoever comes back may have missed.
type happened struct {
	seq  uint64
	text string
	user string // whom it is for, "" everyone
	none bool   // for a topic's subscribers: nobody is given it later
}

func newLife(t testing.TB, h *Hub) *life {
	l := &life{t: t, h: h, entity: fmt.Sprintf("E%x", rand.Uint64()), superseded: h.Stats().LagSuperseded}
	for i := range l.guests {
		l.guests[i].user = fmt.Sprintf("%s-user%d", l.entity, i)
		l.guests[i].tenant = fmt.Sprint("tenant", i%2)
		l.guests[i].cursor = h.Stats().LastSeq
	}
	return l
}

// live plays the operations and ends with everyone gone and nothing left behind.
func (l *life) live(operations []byte) {
	l.t.Helper()
	for i := 0; i+1 < len(operations); i += 2 {
		operation := lifeOperations[int(operations[i])%len(lifeOperations)]
		operation(l, &l.guests[int(operations[i+1])%len(l.guests)], int(operations[i+1])/len(l.guests))
		handled(l.t, l.h)
	}
	wanted := 0
	for i := range l.guests {
		l.check(&l.guests[i])
		wanted += len(l.guests[i].wants)
	}
	if n := l.h.SubscriptionCount(); n != wanted {
		l.t.Fatalf("%d subscriptions, want %d", n, wanted)
	}
	for i := range l.guests {
		l.leave(&l.guests[i], 0)
	}
	eventually(l.t, "all clients and subscriptions are gone", func() bool {
		return l.h.ClientCount() == 0 && l.h.SubscriptionCount() == 0
	})
}

// owe notes a message for everyone who is there and satisfies want.
func (l *life) owe(text string, want func(*guest) bool) {
	for i := range l.guests {
		if g := &l.guests[i]; g.listener != nil && want(g) {
			g.owed = append(g.owed, text)
		}
	}
}

func everyGuest(*guest) bool { return true }

func whoWants(key string) func(*guest) bool { return func(g *guest) bool { return g.wants[key] } }

// check reads what a guest is owed. Who else has left is told at a time of its own, so
// that is passed over.
func (l *life) check(g *guest) {
	l.t.Helper()
	l.reading(g)
	for len(g.owed) > 0 {
		got := l.message(g)
		for got != g.owed[0] && l.isSuperseded(g.owed) {
			l.skipped++
			g.owed = g.owed[1:]
		}
		if want := g.owed[0]; got != want {
			l.t.Fatalf("%s got %.200s, want %.200s", g.user, got, want)
		}
		g.owed = g.owed[1:]
	}
	if n := l.h.Stats().LagSuperseded - l.superseded; l.skipped > n {
		l.t.Fatalf("%d frames of rows didn't come, %d were superseded", l.skipped, n)
	}
}

// isSuperseded is whether the first that is owed is a row's, and a snapshot of the row is owed behind it.
func (l *life) isSuperseded(owed []string) bool {
	words := strings.SplitN(owed[0], " ", 3)
	return len(words) == 3 && (words[0] == "update" || words[0] == "snapshot") && slices.ContainsFunc(owed[1:], func(later string) bool {
		return strings.HasPrefix(later, "snapshot "+words[1]+" ")
	})
}

func (l *life) message(g *guest) string {
	l.t.Helper()
	for {
		m, err := g.receive()
		if err != nil {
			l.t.Fatalf("%s: %v; owed were %.2000q", g.user, err, g.owed)
		}
		if _, err := leavesOf(m.String()); err != nil {
			return m.String()
		}
	}
}

// nothingElse checks that a guest has got what it was owed, and no more.
func (l *life) nothingElse(g *guest) {
	l.t.Helper()
	l.payload++
	marker := fmt.Sprintf("end %d", l.payload)
	if err := l.h.BroadcastBinary([]byte(marker)); err != nil {
		l.t.Fatal(err)
	}
	l.owe(fmt.Sprintf("binary %q", marker), everyGuest)
	l.check(g)
}

func (l *life) fresh() string {
	l.payload++
	return fmt.Sprintf("p%d", l.payload)
}

func (l *life) row(n int) (name string, at int) {
	at = n % len(l.rows)
	return fmt.Sprintf("r%d", at), at
}

// missed is what a guest that comes back with its cursor is given first.
func (l *life) missed(g *guest) (owed []string) {
	for _, e := range l.events {
		if e.seq > g.cursor && !e.none && (e.user == "" || e.user == g.user) {
			owed = append(owed, e.text)
		}
	}
	return owed
}

func (l *life) change(audience Audience) (text string) {
	seq, err := l.h.PublishChange(Change{Entity: l.entity, RowID: l.fresh(), Kind: Update, Timestamp: "1Z", Audience: audience})
	if err != nil {
		l.t.Fatal(err)
	}
	text = fmt.Sprintf(`{"seq":%d,"entity":%q,"row_id":"p%d","kind":"update","timestamp":"1Z"}`, seq, l.entity, l.payload)
	e := happened{seq: seq, text: text, none: audience.Topic != ""}
	e.user = strings.Join(audience.Users, "")
	l.events = append(l.events, e)
	return text
}
