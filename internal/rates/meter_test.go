package rates

import (
	"fmt"
	"testing"
	"time"
	"unsafe"
)

// two relays a second and four at once; nothing else is limited.
func relays(user, address int) Limits {
	l := Limits{User: user, Address: address}
	l.Connection[Relays] = Limit{PerSecond: 2, Burst: 4}
	return l
}

// passed is how many of n relays at one moment pass, and the last one's verdict.
func passed(b *Limiter, m *Meter, now time.Duration, n int) (count int, last Verdict, scope Scope) {
	for range n {
		if last, scope = b.Spend(m, now, Relays, 1); last == Passed {
			count++
		}
	}
	return count, last, scope
}

func wantPassed(t *testing.T, b *Limiter, m *Meter, now time.Duration, n, want int) {
	t.Helper()
	if got, _, _ := passed(b, m, now, n); got != want {
		t.Errorf("at %v %d of %d passed, want %d", now, got, n, want)
	}
}

func TestBurstThenRate(t *testing.T) {
	b := NewLimiter(relays(0, 0))
	m := b.Open("", "", 0)
	wantPassed(t, b, m, 0, 6, 4)
	wantPassed(t, b, m, 400*time.Millisecond, 1, 0)
	wantPassed(t, b, m, 500*time.Millisecond, 3, 1)
	wantPassed(t, b, m, time.Second+500*time.Millisecond, 3, 2)
	wantPassed(t, b, m, time.Hour, 9, 4) // no more than a burst is saved up
	wantPassed(t, b, m, time.Hour-time.Second, 3, 0)
	wantPassed(t, b, m, time.Hour+time.Second, 3, 2)
}

func TestKindsAreCountedApart(t *testing.T) {
	l := relays(0, 0)
	l.Connection[Subscribes] = Limit{PerSecond: 1, Burst: 1}
	b := NewLimiter(l)
	m := b.Open("", "", 0)
	wantPassed(t, b, m, 0, 9, 4)
	if v, _ := b.Spend(m, 0, Subscribes, 1); v != Passed {
		t.Errorf("a subscription: %v", v)
	}
	for range 1000 {
		if v, _ := b.Spend(m, 0, Messages, 1); v != Passed {
			t.Fatalf("what has no limit: %v", v)
		}
	}
	if b.Limits(Messages) || !b.Limits(Relays) {
		t.Error("Limits says otherwise")
	}
}

// A message may be larger than a whole bucket. It passes when the bucket is full, and what
// follows waits until the debt is paid.
func TestLargerThanTheBurst(t *testing.T) {
	var l Limits
	l.Connection[Bytes] = Limit{PerSecond: 100, Burst: 200}
	b := NewLimiter(l)
	m := b.Open("", "", 0)
	for _, step := range []struct {
		at   time.Duration
		n    int
		want Verdict
	}{
		{0, 500, Passed}, {0, 1, Refused}, {2900 * time.Millisecond, 1, Refused}, {3100 * time.Millisecond, 1, Passed},
		{4 * time.Second, 500, Refused}, {time.Minute, 500, Passed},
	} {
		if v, _ := b.Spend(m, step.at, Bytes, step.n); v != step.want {
			t.Errorf("%d bytes at %v: %v, want %v", step.n, step.at, v, step.want)
		}
	}
}

// The rule for closing: more refused within ten seconds of the first refusal than may pass
// in ten seconds, here 4 + 10*2.
func TestAbuse(t *testing.T) {
	b := NewLimiter(relays(0, 0))
	m := b.Open("", "", 0)
	if _, v, _ := passed(b, m, 0, 4+24); v != Refused {
		t.Fatalf("as much refused as may be: %v", v)
	}
	if v, scope := b.Spend(m, 0, Relays, 1); v != Abused || scope != Connection {
		t.Errorf("one more: %v by %v", v, scope)
	}
}

func TestRefusalsAreForgottenAfterTheWindow(t *testing.T) {
	b := NewLimiter(relays(0, 0))
	m := b.Open("", "", 0)
	_, _, _ = passed(b, m, 0, 4+24)
	if _, v, _ := passed(b, m, Window-1, 20); v != Abused {
		t.Errorf("just before its end: %v", v)
	}
	m = b.Open("", "", 0)
	_, _, _ = passed(b, m, 0, 4+24)
	if _, v, _ := passed(b, m, Window, 4+24); v != Refused {
		t.Errorf("at its end: %v", v)
	}
}

// Who sends half as much again as it may is lossy for ever; who sends three times as much has
// to go. Both start with a full bucket.
func TestHowFarOverTheLimit(t *testing.T) {
	for _, test := range []struct {
		perSecond int
		abused    bool
	}{{2, false}, {3, false}, {6, true}, {1000, true}} {
		t.Run(fmt.Sprint(test.perSecond), func(t *testing.T) {
			b := NewLimiter(relays(0, 0))
			m := b.Open("", "", 0)
			abused := false
			for i := range 3600 {
				_, v, _ := passed(b, m, time.Duration(i)*time.Second/time.Duration(test.perSecond), 1)
				abused = abused || v == Abused
			}
			if abused != test.abused {
				t.Errorf("abused: %v, want %v", abused, test.abused)
			}
		})
	}
}

// A user with many connections has, in all, three connections' allowance; so does an address,
// whoever its users are.
func TestSharedAllowance(t *testing.T) {
	for name, who := range map[string]func(i int) (user, address string){
		"user":    func(i int) (string, string) { return "alice", fmt.Sprint("address ", i) },
		"address": func(i int) (string, string) { return fmt.Sprint("user ", i), "10.0.0.1" },
		"both":    func(int) (string, string) { return "alice", "10.0.0.1" },
	} {
		t.Run(name, func(t *testing.T) {
			b := NewLimiter(relays(3, 3))
			total := 0
			for i := range 50 {
				user, address := who(i)
				n, _, _ := passed(b, b.Open(user, address, 0), 0, 4)
				total += n
			}
			if total != 3*4 {
				t.Errorf("50 connections had %d relays, want %d", total, 3*4)
			}
		})
	}
	b := NewLimiter(relays(3, 0))
	for i := range 50 {
		wantPassed(t, b, b.Open("", fmt.Sprint(i%2), 0), 0, 5, 4) // nobody known: each for itself
	}
}

// What an address refuses costs the user nothing.
func TestARefusalIsFree(t *testing.T) {
	b := NewLimiter(relays(2, 1))
	first := b.Open("alice", "here", 0)
	wantPassed(t, b, first, 0, 4, 4)
	if n, _, scope := passed(b, b.Open("alice", "here", 0), 0, 20); n != 0 || scope != Address {
		t.Errorf("the address had %d left, scope %v", n, scope)
	}
	wantPassed(t, b, b.Open("alice", "there", 0), 0, 9, 4)
}

// Leaving and coming back fills no bucket that is shared.
func TestReconnecting(t *testing.T) {
	b := NewLimiter(relays(2, 0))
	total := 0
	for range 100 {
		m := b.Open("alice", "", 0)
		n, _, _ := passed(b, m, 0, 4)
		total += n
		b.Close(m, 0)
	}
	if total != 8 {
		t.Errorf("%d relays passed, want 8", total)
	}
	m := b.Open("alice", "", 2*time.Second)
	wantPassed(t, b, m, 2*time.Second, 9, 4)
}

func TestIdle(t *testing.T) {
	b := NewLimiter(relays(2, 0))
	m := b.Open("alice", "", 0)
	if !b.Idle(m, 0) {
		t.Error("a new meter isn't idle")
	}
	wantPassed(t, b, m, 0, 2, 2)
	if b.Idle(m, 999*time.Millisecond) || !b.Idle(m, time.Second) {
		t.Error("two tokens at two a second are back after a second")
	}
	wantPassed(t, b, m, 0, 3, 2)
	if b.Idle(m, Window-1) || !b.Idle(m, Window) {
		t.Error("refusals count until the window ends")
	}
}

// What a connection costs while it sends: nothing of it is there while it's idle.
func TestMeterSize(t *testing.T) {
	if got := unsafe.Sizeof(Meter{}); got > 128 {
		t.Errorf("a Meter takes %d bytes", got)
	}
}

func TestSpendDoesNotAllocate(t *testing.T) {
	b := NewLimiter(relays(2, 2))
	m := b.Open("alice", "here", 0)
	now := time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() { now += time.Millisecond; b.Spend(m, now, Relays, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSpend(b *testing.B) {
	for name, who := range map[string]string{"alone": "", "with user and address": "x"} {
		b.Run(name, func(b *testing.B) {
			l := relays(2, 2)
			l.Connection[Relays] = Limit{PerSecond: 1e9, Burst: 1e9}
			book := NewLimiter(l)
			m := book.Open(who, who, 0)
			b.ReportAllocs()
			for i := range b.N {
				book.Spend(m, time.Duration(i), Relays, 1)
			}
		})
	}
}
