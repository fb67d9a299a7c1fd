package budget

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// newBudget has marks that are easy to see: memory is freed above 1400 down to 1200, and it is
// full above 1500. shed counts how often freeing was asked for.
func newBudget() (b *Budget, shed *int) {
	shed = new(int)
	return New(1600, nil, func() { *shed++ }), shed
}

func (b *Budget) put(n int64) {
	b.Add(Inbound, n)
	b.Judge()
}

func TestMarks(t *testing.T) {
	b, shed := newBudget()
	for _, step := range []struct {
		add, excess int64
		shed        bool
		full, takes bool
	}{
		{1400, 200, false, false, true},    // not above the mark
		{1, 201, true, false, true},        // memory is freed
		{99, 300, true, false, true},       // 1500
		{1, 301, true, true, true},         // newcomers are refused
		{98, 399, true, true, true},        // 1599
		{1, 400, true, true, false},        // the ceiling: no byte more
		{-199, 201, true, true, true},      // 1401: still refused
		{-1, 200, false, false, true},      // 1400
		{101, 301, true, true, true},       // and again
		{-1501, -1200, false, false, true}, // 0
	} {
		*shed = 0
		b.put(step.add)
		if b.Excess() != step.excess || *shed > 0 != step.shed || b.Full() != step.full || b.Takes(1) != step.takes {
			t.Errorf("at %d: excess %d, shed %v, full %v, takes %v; want %+v",
				b.Used(), b.Excess(), *shed > 0, b.Full(), b.Takes(1), step)
		}
	}
}

// The collector leaves what it was to look at and didn't free, and not what has come while it ran.
func TestWhatTheCollectorLeaves(t *testing.T) {
	b, _ := newBudget()
	b.Add(Messages, 1500)
	short := b.Collecting()
	b.Add(Messages, 1300)
	b.free(1500)
	if b.Excess() != 100 || short() {
		t.Errorf("excess %d, short %v of what came meanwhile", b.Excess(), short())
	}
	short = b.Collecting()
	b.free(50)
	if !short() {
		t.Error("1250 are left, and it isn't short")
	}
	b.Add(Messages, -50) // not by the collector
	if short() {
		t.Error("short of 1200")
	}
}

func TestWithoutCeiling(t *testing.T) {
	b := New(0, nil, func() { t.Error("memory is freed") })
	b.put(1 << 50)
	if b.Full() || b.Pressed() || !b.Takes(1<<50) || b.Room() != nil {
		t.Error("there is no ceiling, and it was reached")
	}
}

// Publishers wait while memory is freed, and are told when there is room again.
func TestRoom(t *testing.T) {
	b, _ := newBudget()
	b.put(1400)
	if b.Room() != nil {
		t.Fatal("a publisher waits below the mark")
	}
	b.put(1)
	first, second := b.Room(), b.Room()
	if first == nil || second == nil {
		t.Fatal("a publisher doesn't wait above the mark")
	}
	select {
	case <-first:
		t.Fatal("there is no room yet")
	default:
	}
	b.put(-1)
	<-first
	<-second
}

// Room is made for what was refused, and no longer than until it is there, or can't be.
func TestWanted(t *testing.T) {
	b, shed := newBudget()
	b.put(1300)
	b.Want(1601)
	b.Judge()
	if b.Pressed() || *shed != 0 {
		t.Fatal("room is made for what never fits")
	}
	b.Want(700)
	b.Want(500) // the larger counts
	b.Judge()
	room := b.Room()
	if room == nil || *shed != 1 || b.Excess() != 400 || b.Full() {
		t.Fatalf("room is made: %v, shed %d times, excess %d, full %v", room != nil, *shed, b.Excess(), b.Full())
	}
	b.put(-399)
	select {
	case <-room:
		t.Fatal("there is one byte too little")
	default:
	}
	b.put(-1)
	<-room
	if b.put(400); b.Pressed() {
		t.Error("room is still made for what could have come")
	}
	b.Want(700)
	if b.GiveUp(); b.Pressed() {
		t.Error("room is made though nothing is left to be freed")
	}
}

// A publisher that begins to wait just as room is made must not miss that.
func TestRoomIsNeverMissed(t *testing.T) {
	b := New(1600, nil, func() {})
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for range 2000 {
				for room := b.Room(); room != nil; room = b.Room() {
					<-room // those who hold something wait for nobody
				}
				b.put(800)
				runtime.Gosched()
				b.put(-800)
			}
		})
	}
	publishers.Wait()
	if b.Used() != 0 || b.Room() != nil {
		t.Errorf("%d bytes are left", b.Used())
	}
}

// What is reserved for a peer outside never has memory freed for it; what is to be published has,
// also when it doesn't fit yet.
func TestReserving(t *testing.T) {
	b, shed := newBudget()
	b.put(1300)
	if _, ok := b.Spare(Outside, 101); ok || *shed != 0 || b.Used() != 1300 {
		t.Errorf("above the mark: %v, shed %d times, %d used", ok, *shed, b.Used())
	}
	release, ok := b.Spare(Outside, 100)
	if !ok || b.UsedFor(Outside) != 100 {
		t.Errorf("up to the mark: %v, %d used", ok, b.UsedFor(Outside))
	}
	release()
	if release, ok = b.Reserve(Outside, 300); !ok || *shed == 0 || b.Used() != 1600 {
		t.Errorf("up to the ceiling: %v, shed %d times, %d used", ok, *shed, b.Used())
	}
	release()
	if _, ok := b.Reserve(Outside, 301); ok || !b.Pressed() {
		t.Errorf("above it: %v", ok)
	}
	b.put(-1) // it is freed
	if release, ok = b.Reserve(Outside, 301); !ok {
		t.Fatal("room was made, and it isn't there")
	}
	release()
	if b.Used() != 1299 {
		t.Errorf("%d are left", b.Used())
	}
}

// A message counts while anybody has it, once however many do, and whoever waits for room is told
// when the collector has freed it.
func TestTracked(t *testing.T) {
	type message struct{ bytes []byte }
	b, shed := newBudget()
	kept := make([]*message, 10)
	for i := range kept {
		kept[i] = &message{make([]byte, 64)}
		Track(b, kept[i], 150)
	}
	if *shed != 1 {
		t.Errorf("freeing was asked for %d times above the mark, want once", *shed)
	}
	room := b.Room()
	if b.Used() != 1500 || room == nil {
		t.Fatalf("%d used, somebody waits: %v", b.Used(), room != nil)
	}
	runtime.GC()
	if b.Used() != 1500 {
		t.Fatalf("%d used while all are kept", b.Used())
	}
	runtime.KeepAlive(kept)
	clear(kept[1:])
	for late := time.After(time.Minute); ; {
		runtime.GC()
		select {
		case <-room:
		case <-late:
			t.Fatalf("%d used, and nobody was told", b.Used())
		default:
			continue
		}
		break
	}
	for b.Used() != 150 { // the collector hands them over one by one
		runtime.GC()
	}
	runtime.KeepAlive(kept)
}

func TestLargestDebts(t *testing.T) {
	debts := []Debt{{1, 10}, {2, 500}, {3, 40}, {4, 500}, {5, 30}}
	for _, test := range []struct {
		bytes int64
		ids   []uint64
	}{
		{0, nil},
		{-5, nil},
		{1, []uint64{2}},
		{501, []uint64{2, 4}},
		{1035, []uint64{2, 4, 3}},
		{1 << 40, []uint64{2, 4, 3, 5, 1}},
	} {
		var ids []uint64
		for _, d := range Largest(slices.Clone(debts), test.bytes) {
			ids = append(ids, d.Client)
		}
		if !slices.Equal(ids, test.ids) {
			t.Errorf("to free %d: clients %v, want %v", test.bytes, ids, test.ids)
		}
	}
}
