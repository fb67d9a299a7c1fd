// Package budget counts the memory that a server keeps for its peers and from them, in bytes, and
// says when it is too much. It knows neither who they are nor what time it is.
package budget

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Kind is what memory is kept for.
type Kind uint8

// The kinds.
const (
	Messages      Kind = iota // to clients: each once, however many are owed it
	Queues                    // what remembers who is owed which of them
	Inbound                   // messages from clients that haven't come whole
	Upgrades                  // requests that aren't complete, or not decided about
	Subscriptions             // their names, and what finds who has them
	Outside                   // what an embedder keeps for peers of its own
	Kinds                     // how many there are
)

var names = [Kinds]string{"messages", "queues", "inbound", "upgrades", "subscriptions", "outside"}

func (k Kind) String() string { return names[k] }

// The marks, in sixteenths of the ceiling. From shedAbove on memory is freed until shedTo is
// reached; when that isn't enough, newcomers and publishers are refused above fullAbove, until it
// is back at shedAbove. At the ceiling nothing more is taken. The steps between them are what can
// come while it is found out what to free.
const (
	shedTo    = 12
	shedAbove = 14
	fullAbove = 15
	sixteen   = 16
)

// Budget is the sum of all that is kept. Safe from any goroutine.
type Budget struct {
	ceiling   int64
	elsewhere func() int64
	shed      func()
	collected func(int64)

	used   [Kinds]atomic.Int64
	freed  atomic.Int64 // by the collector, since the start
	wanted atomic.Int64 // by what was refused; 0: by nothing
	full   atomic.Bool

	awaited atomic.Bool // somebody waits for room
	mu      sync.Mutex
	eased   chan struct{} // closed when there is room again; nil when nobody waits
}

// New makes a budget of so many bytes; 0 is no ceiling. elsewhere, which may be nil, is how much of
// what is tracked is kept under a bound of its own, and isn't counted while it is. shed is called
// above the mark at which memory has to be freed. Both are called from any goroutine, often, and
// must not block.
func New(ceiling int64, elsewhere func() int64, shed func()) *Budget {
	if elsewhere == nil {
		elsewhere = func() int64 { return 0 }
	}
	b := &Budget{ceiling: ceiling, elsewhere: elsewhere, shed: shed}
	b.collected = b.free
	return b
}

// Track counts n bytes of messages until the garbage collector frees v: whoever holds on to v
// keeps it counted, and nobody has to say when it ends, or to judge.
func Track[T any](b *Budget, v *T, n int64) {
	b.used[Messages].Add(n)
	runtime.AddCleanup(v, b.collected, n)
	b.Judge()
}

// free is called by the collector, for each value.
func (b *Budget) free(n int64) {
	b.used[Messages].Add(-n)
	b.freed.Add(n)
	if b.awaited.Load() || b.full.Load() {
		b.Judge()
	}
}

// Add counts n bytes more, or less. Judge is to be called where more came.
func (b *Budget) Add(k Kind, n int64) {
	if b.used[k].Add(n); n < 0 && (b.awaited.Load() || b.full.Load()) {
		b.Judge()
	}
}

// Judge acts on where the sum stands. To be called by whoever has added to it, and holds no lock.
func (b *Budget) Judge() {
	if b.ceiling == 0 {
		return
	}
	used := b.Used()
	switch over := used > b.mark(shedAbove); {
	case used > b.mark(fullAbove):
		b.full.Store(true)
	case !over && b.full.Load():
		b.full.Store(false)
	}
	if b.above(used) {
		b.shed()
		return
	}
	if b.wanted.Load() > 0 {
		b.wanted.Store(0)
	}
	if b.awaited.Load() {
		b.ease()
	}
}

// Takes is whether there is room for n bytes below the ceiling.
func (b *Budget) Takes(n int64) bool { return b.ceiling == 0 || b.Used()+n <= b.ceiling }

// Full is whether newcomers and publishers are to be refused.
func (b *Budget) Full() bool { return b.full.Load() }

// Pressed is whether memory has to be freed.
func (b *Budget) Pressed() bool { return b.ceiling > 0 && b.above(b.Used()) }

// Excess is how many bytes have to be freed, 0 or less when none.
func (b *Budget) Excess() int64 { return b.excess(b.Used()) }

func (b *Budget) excess(used int64) int64 {
	return used - min(b.mark(shedTo), b.ceiling-b.wanted.Load())
}

// Collecting is called before the collector runs, and short afterwards: whether there is an excess in what is
// left of what was there before. Of what has come meanwhile nobody knows yet whether it stays.
func (b *Budget) Collecting() (short func() bool) {
	freed := b.freed.Load() // first: what is freed between the two counts as neither
	before := b.Used() + freed
	return func() bool { return b.excess(min(b.Used(), before-b.freed.Load())) > 0 }
}

// Want has memory freed for n bytes that there was no room for: what is kept could stay below the
// marks, and large messages be refused, for as long as it likes. Judge is to be called.
func (b *Budget) Want(n int64) {
	for now := b.wanted.Load(); n > now && n <= b.ceiling && !b.wanted.CompareAndSwap(now, n); now = b.wanted.Load() {
	}
}

// GiveUp is called when nothing is left to be freed.
func (b *Budget) GiveUp() { b.wanted.Store(0) }

// Room is nil when publishers needn't wait, and otherwise closed when it is worth asking again.
func (b *Budget) Room() <-chan struct{} {
	if !b.Pressed() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.eased == nil {
		b.eased = make(chan struct{})
		b.awaited.Store(true)
	}
	if !b.Pressed() { // whoever made room may not have seen that it is awaited
		b.easeLocked()
		return nil
	}
	return b.eased
}

func (b *Budget) ease() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.easeLocked()
}

func (b *Budget) easeLocked() {
	if b.eased != nil {
		close(b.eased)
		b.eased = nil
		b.awaited.Store(false)
	}
}

// Spare counts n bytes of a kind until release is called, once, unless memory would have to be
// freed for them: then ok is false, and nothing is counted.
func (b *Budget) Spare(k Kind, n int64) (release func(), ok bool) {
	if b.ceiling > 0 && b.above(b.Used()+n) {
		return nil, false
	}
	return b.keep(k, n), true
}

// Reserve is Spare for what memory is freed for: where there is none below the ceiling, room is
// made for the next try.
func (b *Budget) Reserve(k Kind, n int64) (release func(), ok bool) {
	defer b.Judge()
	if !b.Takes(n) {
		b.Want(n)
		return nil, false
	}
	return b.keep(k, n), true
}

func (b *Budget) keep(k Kind, n int64) (release func()) {
	b.Add(k, n)
	return func() { b.Add(k, -n) }
}

// Ceiling is what New was given.
func (b *Budget) Ceiling() int64 { return b.ceiling }

// Used is the sum. What kinds of it come and go between its reads makes it a little wrong.
func (b *Budget) Used() (sum int64) {
	for k := range b.used {
		sum += b.used[k].Load()
	}
	return sum - b.elsewhere()
}

// UsedFor is how much of it is of a kind.
func (b *Budget) UsedFor(k Kind) int64 {
	n := b.used[k].Load()
	if k == Messages {
		n -= b.elsewhere()
	}
	return max(n, 0)
}

func (b *Budget) mark(sixteenths int64) int64 { return b.ceiling / sixteen * sixteenths }

func (b *Budget) above(used int64) bool {
	return used > b.mark(shedAbove) || used+b.wanted.Load() > b.ceiling
}

// Debt is how many bytes are kept for one client.
type Debt struct {
	Client uint64
	Bytes  int64
}

// Largest leaves of debts those that are so many bytes together, or all, the largest first.
func Largest(debts []Debt, bytes int64) []Debt {
	slices.SortFunc(debts, func(a, b Debt) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Client, b.Client))
	})
	n := 0
	for sum := int64(0); n < len(debts) && sum < bytes; n++ {
		sum += debts[n].Bytes
	}
	return debts[:n]
}
