package eventloop

import (
	"slices"
	"testing"
)

func TestHeaviest(t *testing.T) {
	claims := []claim{{1, 10}, {2, 500}, {3, 40}, {4, 500}, {5, 30}}
	for _, test := range []struct {
		bytes, freed int64
		ids          []uint64
	}{
		{0, 0, nil},
		{-5, 0, nil},
		{1, 500, []uint64{2}},
		{501, 1000, []uint64{2, 4}},
		{1035, 1040, []uint64{2, 4, 3}},
		{1 << 40, 1080, []uint64{2, 4, 3, 5, 1}},
	} {
		some, freed := heaviest(slices.Clone(claims), test.bytes)
		var ids []uint64
		for _, c := range some {
			ids = append(ids, c.id)
		}
		if freed != test.freed || !slices.Equal(ids, test.ids) {
			t.Errorf("to free %d: clients %v with %d, want %v with %d", test.bytes, ids, freed, test.ids, test.freed)
		}
	}
}

// What the broadcast log keeps is divided among those that it is kept for; the slowest answers alone
// for what nobody else still wants.
func TestSharesOfFeed(t *testing.T) {
	f := &broadcastLog{first: 100, end: 100}
	each := (&Frame{wire: make([]byte, 888)}).footprint() // 1000
	for range 4 {
		f.append(&Frame{wire: make([]byte, 888)})
	}
	for _, test := range []struct {
		from   []uint64
		shares []int64 // in order of from
	}{
		{nil, []int64{}},
		{[]uint64{100}, []int64{4 * each}},
		{[]uint64{50}, []int64{4 * each}}, // it has fallen off
		{[]uint64{104}, []int64{0}},
		{[]uint64{103, 101}, []int64{2*each + each/2, each / 2}},
		{[]uint64{102, 102, 102, 102}, []int64{each / 2, each / 2, each / 2, each / 2}},
		{[]uint64{104, 100, 102}, []int64{3 * each, each, 0}},
	} {
		var keepers []keeper
		for i, from := range test.from {
			keepers = append(keepers, keeper{uint32(i), from})
		}
		if got := f.sharesOf(keepers); !slices.Equal(got, test.shares) {
			t.Errorf("behind from %v: shares %v, want %v", test.from, got, test.shares)
		}
	}
}

// A frame that many are owed is little of each; one that is owed to one client is all its own.
func TestWeightOfQueues(t *testing.T) {
	l := &Loop{account: account{ledger: &ledger{}}}
	l.holds = newHolds(&l.account)
	shared, own := &Frame{wire: make([]byte, 100_000)}, &Frame{wire: make([]byte, 30_000)}
	outboxes := make([]*sendQueue, 100)
	for i := range outboxes {
		outboxes[i] = l.newSendQueue()
		outboxes[i].park()
		outboxes[i].push(shared, 0)
	}
	outboxes[0].push(own, 0)
	if light, most := outboxes[1].weight(), shared.footprint()/100+queuedBytes+sendQueueBytes; light != most {
		t.Errorf("one of 100 who are owed a message weighs %d, want %d", light, most)
	}
	if heavy := outboxes[0].weight(); heavy < own.footprint() || heavy > own.footprint()+shared.footprint()/50+1000 {
		t.Errorf("who is owed %d bytes of its own weighs %d", own.footprint(), heavy)
	}
	long := l.newSendQueue()
	long.park()
	for range 10 * weighed {
		long.push(&Frame{wire: make([]byte, 888)}, 0)
	}
	if got, want := long.weight(), int64(10*weighed*(888+frameBytes+queuedBytes)+sendQueueBytes); got != want {
		t.Errorf("a long queue weighs %d, want %d", got, want)
	}
}

// What a client sends before it is accepted counts at least for its length, and not for
// much more.
func TestUpgradeBytes(t *testing.T) {
	if n := upgradeBytes(upgrading(0, 0)); n != 0 {
		t.Errorf("nothing takes %d bytes", n)
	}
	for _, n := range []int{1, 500, 1023, 1024, 5000, 16 << 10, 64 << 10} {
		if got := upgradeBytes(upgrading(0, n)); got < int64(n) || got > int64(4*n+1024+4) {
			t.Errorf("%d bytes with gnet count as %d", n, got)
		}
		if got := upgradeBytes(upgrading(n, 0)); got < int64(n) || got > int64(n+1024) {
			t.Errorf("a head of %d bytes counts as %d", n, got)
		}
	}
}

// The broadcast log is kept for those who are still to get something of it: not for who is at its end,
// isn't behind, or is sent a Close and no more.
func TestWhoKeepsTheFeed(t *testing.T) {
	l := &Loop{}
	for range 4 {
		l.broadcasts.append(&Frame{wire: make([]byte, 100)})
	}
	for name, test := range map[string]struct {
		c     Client
		from  uint64
		keeps bool
	}{
		"behind":             {Client{pos: 1, queue: &sendQueue{waiting: true, stop: 4}}, 1, true},
		"with a feed's part": {Client{pos: 2, queue: &sendQueue{waiting: true, stop: 4, part: l.broadcasts.at(1)}}, 1, true},
		"with its own part":  {Client{pos: 2, queue: &sendQueue{waiting: true, stop: 4, part: &Frame{}}}, 2, true},
		"held":               {Client{pos: 3, flags: flagReplaying | flagPinned}, 3, true},
		"not behind":         {Client{pos: 1}, 0, false},
		"catching up":        {Client{pos: 1, flags: flagReplaying, queue: &sendQueue{waiting: true}}, 0, false},
		"given up":           {Client{pos: 1, state: closing, queue: &sendQueue{waiting: true}}, 0, false},
	} {
		test.c.loop = l
		if from, keeps := test.c.keeps(); from != test.from || keeps != test.keeps {
			t.Errorf("%s: kept from %d, %v; want %d, %v", name, from, keeps, test.from, test.keeps)
		}
	}
	l.behind.laggards = []*Client{{pos: 3, loop: l, queue: &sendQueue{waiting: true, stop: 4}}, {pos: 2, loop: l, queue: &sendQueue{waiting: true, stop: 4}},
		{pos: 0, loop: l, state: closing, queue: &sendQueue{waiting: true}}}
	if at := l.slowest(); at != 2 {
		t.Errorf("the slowest stands at %d, want 2", at)
	}
	l.broadcasts.dropBefore(2)
	if l.broadcasts.first != 2 || l.broadcasts.bytes != 200 {
		t.Errorf("the feed begins at %d with %d bytes", l.broadcasts.first, l.broadcasts.bytes)
	}
}
