package proof

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// told is a conversation: what a client gets, and whether it is wronged by the last of it.
type told struct {
	routed, slow bool
	audited      bool // nobody may have to resync
	nodes        bool // several of them: rows may come late, topics and presence not at all
	since        uint64
	taken        uint64   // every stream's number that the server has acknowledged
	wants        []string // streams that it asks for
	settledAt    uint64   // every stream's number when the server had acted on that
	gets         []string
	wrong        string
}

func testBook(routed bool, at uint64) *Book {
	b := newBook(routed)
	b.add(changes, "e", 2)
	b.add(topics, "t", 2)
	b.add(rows, "x", 1)
	b.add(presence, "p", 1)
	b.add(broadcasts, "b", 1)
	for _, s := range b.streams {
		s.begun.Store(at)
		s.finish(4, 1, errLate) // nobody knows about the fourth
		s.finish(13, 1, &refusal{507, ""})
		s.mark(8, repeated)
	}
	return b
}

// give turns "change SEQ e0 N", "text t0 N", "row x0 N", "snapshot x0 N", "bytes N", "resync OLDEST SEQ",
// "left ID" into a message.
func give(a *account, line string) error {
	var name string
	var n, seq uint64
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "change":
		fmt.Sscan(rest, &seq, &name, &n)
		return a.text(fmt.Appendf(nil, `{"seq":%d,"entity":%q,"row_id":"x","kind":"update","data":{%s}}`, seq, name, jsonNote(name, n, 100)))
	case "text":
		fmt.Sscan(rest, &name, &n)
		return a.text([]byte("{" + jsonNote(name, n, 80) + "}"))
	case "damaged":
		return a.text([]byte(strings.Replace("{"+jsonNote("p0", 1, 200)+"}", "quick", "quiet", 1)))
	case "row", "snapshot":
		fmt.Sscan(rest, &name, &n)
		kind := map[string]hub.RowKind{"row": hub.Incremental, "snapshot": hub.Snapshot}[verb]
		frame, err := hub.AppendRowFrame(nil, kind, rowEntity, name, byteNote(n, 50))
		if err != nil {
			return err
		}
		return a.binary(frame)
	case "bytes":
		fmt.Sscan(rest, &n)
		return a.binary(byteNote(n, 10))
	case "resync":
		fmt.Sscan(rest, &n, &seq)
		return a.text(fmt.Appendf(nil, `{"type":"resync","oldest_seq":%d,"seq":%d}`, n, seq))
	case "left":
		fmt.Sscan(rest, &n)
		return a.text(fmt.Appendf(nil, `{"type":"presence","event":"disconnect","clientId":%d,"clientIds":[%d,%d]}`, n, n, n+1))
	}
	return fmt.Errorf("%q is nothing to get", line)
}

// A proof that finds nothing has to be able to.
func TestAccountFindsWrongs(t *testing.T) {
	for name, c := range map[string]told{
		"all as it should":      {gets: []string{"text p0 1", "left 7", "bytes 1", "text p0 2", "change 7 e0 1", "change 8 e1 1", "change 9 e0 2", "bytes 2"}},
		"twice":                 {gets: []string{"text p0 1", "text p0 1"}, wrong: "p0 1 came behind 1"},
		"back":                  {gets: []string{"bytes 2", "bytes 3", "bytes 1"}, wrong: "b0 1 came behind 3"},
		"left out":              {gets: []string{"bytes 1", "bytes 3"}, wrong: "2 was missing"},
		"left out, may be lost": {gets: []string{"bytes 3", "bytes 5"}},
		"late, may be lost":     {gets: []string{"bytes 3", "bytes 5", "bytes 4", "bytes 6"}},
		"left out at first":     {settledAt: 10, gets: []string{"bytes 12"}, wrong: "11 was missing"},
		"early at first":        {settledAt: 10, gets: []string{"bytes 9", "bytes 10"}},
		"damaged":               {gets: []string{"damaged"}, wrong: "isn't as it was sent"},
		"no such stream":        {gets: []string{"text z9 1"}, wrong: "that there isn't"},
		"not asked for":         {routed: true, wants: []string{"t1"}, gets: []string{"text t1 1", "text t0 1"}, wrong: "nobody asked"},
		"seq left out":          {gets: []string{"change 7 e0 1", "change 9 e1 1"}, wrong: "seq 9 behind 7"},
		"seq twice":             {gets: []string{"change 7 e0 1", "change 7 e1 1"}, wrong: "seq 7 behind 7"},
		"seqs of others":        {routed: true, wants: []string{"e0"}, gets: []string{"change 7 e0 1", "change 9 e0 2"}},
		"seq back, routed":      {routed: true, wants: []string{"e0"}, gets: []string{"change 7 e0 1", "change 6 e0 2"}, wrong: "seq 6 behind 7"},
		"since":                 {since: 5, gets: []string{"change 6 e0 1"}},
		"since, not told":       {since: 5, gets: []string{"change 8 e0 1"}, wrong: "seq 8 behind 5"},
		"since, told":           {since: 5, gets: []string{"left 7", "resync 8 9", "change 10 e0 5"}},
		"told, and lost more":   {since: 5, gets: []string{"resync 8 9", "change 11 e0 5"}, wrong: "seq 11 behind 9"},
		"told for nothing":      {since: 5, gets: []string{"resync 6 9"}, wrong: "for nothing"},
		"told, cursor too new":  {since: 50, gets: []string{"resync 6 9", "change 10 e0 1"}},
		"told, had read":        {gets: []string{"change 7 e0 1", "resync 8 9"}, wrong: "had read all the time"},
		"slow, told":            {slow: true, gets: []string{"bytes 1", "change 7 e0 1", "resync 1 30", "change 20 e1 9", "change 21 e0 5", "bytes 9"}},
		"slow, told once":       {slow: true, gets: []string{"bytes 1", "resync 1 30", "bytes 9", "bytes 11"}, wrong: "10 was missing"},
		"slow, told, twice":     {slow: true, gets: []string{"bytes 9", "resync 1 30", "bytes 9"}, wrong: "b0 9 came behind 9"},
		"row":                   {wants: []string{"x0"}, gets: []string{"snapshot x0 3", "row x0 5", "row x0 6"}},
		"row, in the snapshot":  {settledAt: 9, wants: []string{"x0"}, gets: []string{"snapshot x0 10", "row x0 11"}},
		"row, left out behind":  {settledAt: 9, wants: []string{"x0"}, gets: []string{"snapshot x0 10", "row x0 12"}, wrong: "11 was missing"},
		"row, left out":         {settledAt: 9, wants: []string{"x0"}, gets: []string{"snapshot x0 8", "row x0 11"}, wrong: "10 was missing"},
		"row, of before":        {taken: 5, wants: []string{"x0"}, gets: []string{"snapshot x0 4"}, wrong: "5 was stored"},
		"row, before an update": {taken: 6, wants: []string{"x0"}, gets: []string{"snapshot x0 5"}},
		"row, superseded":       {wants: []string{"x0"}, gets: []string{"snapshot x0 3", "row x0 5", "snapshot x0 8", "row x0 9"}},
		"row, behind newer":     {wants: []string{"x0"}, gets: []string{"snapshot x0 3", "snapshot x0 8", "row x0 7"}, wrong: "x0 7 came behind 8"},
		"unsure change":         {gets: []string{"change 7 e0 3", "change 8 e0 4", "change 9 e0 5"}},
		"unsure change, twice":  {gets: []string{"change 7 e0 4", "change 8 e0 4"}, wrong: "e0 4 came behind 4"},
		"refused, left out":     {gets: []string{"change 7 e0 12", "change 8 e0 14"}},
		"refused, came":         {gets: []string{"change 7 e0 12", "change 8 e0 13"}, wrong: "which was refused"},
		"audited, told":         {audited: true, since: 5, gets: []string{"resync 8 9"}, wrong: "told to resync"},
		"audited, for another":  {audited: true, since: 5, gets: []string{"change 7 e0 1", "change 9 e0 2"}},
		"nodes, row":            {nodes: true, taken: 5, wants: []string{"x0"}, gets: []string{"snapshot x0 4", "snapshot x0 5", "row x0 6"}},
		"nodes, row, newest":    {nodes: true, taken: 5, wants: []string{"x0"}, gets: []string{"snapshot x0 5", "snapshot x0 10", "row x0 11"}},
		"nodes, row, again":     {nodes: true, wants: []string{"x0"}, gets: []string{"snapshot x0 7", "row x0 8", "row x0 9", "row x0 8", "row x0 10"}},
		"nodes, row, twice":     {nodes: true, wants: []string{"x0"}, gets: []string{"snapshot x0 7", "row x0 9", "row x0 9"}, wrong: "x0 9 came behind 9"},
		"nodes, row, back":      {nodes: true, wants: []string{"x0"}, gets: []string{"snapshot x0 7", "row x0 10", "snapshot x0 9"}, wrong: "x0 9 came behind 10"},
		"nodes, row, left out":  {nodes: true, taken: 7, wants: []string{"x0"}, gets: []string{"snapshot x0 5", "row x0 7"}, wrong: "6 was missing"},
		"nodes, some lost":      {nodes: true, settledAt: 9, gets: []string{"text t0 10", "text t0 14", "text p0 12", "text p0 15"}},
		"nodes, twice":          {nodes: true, gets: []string{"text t0 9", "text t0 9"}, wrong: "t0 9 came behind 9"},
		"left":                  {audited: true, gets: []string{"left 7", "left 9"}},
		"left, twice":           {audited: true, gets: []string{"left 7", "left 8"}, wrong: "told twice that client 8"},
		"left, of no node":      {audited: true, gets: []string{"left 200000000000000"}, wrong: "of no node"},
		"left, nobody":          {gets: []string{"left 0"}, wrong: "nobody left"},
		"row without snapshot":  {wants: []string{"x0"}, gets: []string{"row x0 5"}, wrong: "before the snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			b := testBook(c.routed, c.settledAt)
			b.audited = c.audited
			b.starts[0].Store(1)
			for _, s := range b.streams {
				s.taken.Store(c.taken)
				s.late = c.nodes && s.kind == rows
				s.lossy = c.nodes && (s.kind == topics || s.kind == presence)
			}
			a := newAccount(b, "")
			a.slow, a.seq, a.since = c.slow, c.since, c.since > 0
			for _, want := range c.wants {
				if !a.subscribe(b.streams[want]) || a.subscribe(b.streams[want]) {
					t.Error("subscribing isn't new once")
				}
			}
			if c.settledAt > 0 {
				a.settled()
			}
			for i, line := range c.gets {
				err := give(a, line)
				last := i == len(c.gets)-1
				if (err != nil) != (last && c.wrong != "") || err != nil && (!errors.Is(err, errWronged) || !strings.Contains(err.Error(), c.wrong)) {
					t.Errorf("%s: %v, want %q of the last", line, err, c.wrong)
				}
			}
		})
	}
}

func TestAccountKnowsWhatItLacks(t *testing.T) {
	b := testBook(true, 0)
	a := newAccount(b, "")
	a.subscribe(b.streams["t0"])
	a.settled()
	for n := range uint64(3) {
		b.streams["t0"].finish(n+1, 1, nil)
		b.streams["t1"].finish(n+1, 1, nil) // not its business
	}
	b.streams["p0"].finish(3, 1, nil)
	for _, line := range []string{"text p0 1", "text p0 2", "text p0 3", "text t0 1", "text t0 2", "text t0 3"} {
		if what, behind := a.behind(a.owed()); !behind {
			t.Errorf("before %s it lacks nothing (%s)", line, what)
		}
		if err := give(a, line); err != nil {
			t.Fatal(err)
		}
	}
	if what, behind := a.behind(a.owed()); behind {
		t.Error(what)
	}
	a.unsubscribed(b.streams["t0"])
	if err := give(a, "text t0 4"); err != nil { // may be lost, may come
		t.Error(err)
	}
	if err := give(a, "text t0 5"); err == nil {
		t.Error("what it has unsubscribed from came, and nothing was said")
	}
}

func TestAccountLacksNothingThatMayBeLost(t *testing.T) {
	b := testBook(false, 0)
	a := newAccount(b, "")
	a.slow = true
	for n := range uint64(3) {
		b.streams["p0"].finish(n+1, 1, nil)
	}
	for _, c := range []struct {
		line   string
		behind bool
	}{{"text p0 1", true}, {"resync 1 30", false}, {"text p0 2", true}, {"text p0 3", false}} {
		if err := give(a, c.line); err != nil {
			t.Fatal(err)
		}
		if what, behind := a.behind(a.owed()); behind != c.behind {
			t.Errorf("behind %s: %v, %s", c.line, behind, what)
		}
	}
}

// What a connection had is compared with the log.
func TestLedgerFindsWrongs(t *testing.T) {
	b := testBook(false, 0)
	b.audited = true
	b.add(changes, "private", 1)[0].toUser = "ann"
	l := newLedger(b)
	for _, line := range []string{"change 7 e0 1", "change 8 private0 1", "change 9 e0 2", "change 12 e1 1"} {
		if err := give(l.account, line); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		user  string
		since uint64
		had   []string
		wrong bool
	}{
		"ann":               {"ann", 0, []string{"change 7 e0 1", "change 8 private0 1", "change 9 e0 2", "change 12 e1 1"}, false},
		"bob":               {"bob", 0, []string{"change 7 e0 1", "change 9 e0 2"}, false}, // it ended there
		"since":             {"ann", 8, []string{"change 9 e0 2", "change 12 e1 1"}, false},
		"one is missing":    {"bob", 0, []string{"change 7 e0 1", "change 12 e1 1"}, true},
		"the first is":      {"ann", 7, []string{"change 9 e0 2"}, true},
		"not in the log":    {"bob", 9, []string{"change 12 e1 1", "change 13 e1 2"}, true},
		"another's seq":     {"bob", 9, []string{"change 11 e1 1"}, true},
		"other bytes":       {"bob", 9, []string{"change 12 e1 1"}, true},
		"another's message": {"bob", 9, []string{"change 12 e1 2"}, true},
	} {
		a := newAccount(b, c.user)
		for _, line := range c.had {
			if err := give(a, line); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if name == "other bytes" {
			a.events[0].sum++
		}
		if err := l.compare(life{c.user, c.since, a.events}); (err != nil) != c.wrong || err != nil && !errors.Is(err, errWronged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
