package rates

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// Accounts are made by whoever connects. However many, those that nobody needs any more are
// let go of, and those in debt are bounded in number.
func TestAccountsAreBounded(t *testing.T) {
	l := relays(1, 0)
	l.Accounts = 640
	b := NewLimiter(l)
	for i := range 100_000 {
		m := b.Open(fmt.Sprint(i), "", 0)
		b.Spend(m, 0, Relays, 1)
		b.Close(m, 0)
	}
	if n := b.users.len(); n > 640 {
		t.Errorf("%d accounts in debt are remembered", n)
	}
	for i := range 10_000 { // much later: all are full again
		b.Close(b.Open(fmt.Sprint("later ", i), "", time.Hour), time.Hour)
	}
	if n := b.users.len(); n > accountShards {
		t.Errorf("%d accounts are left", n)
	}
}

// An account that a connection draws on isn't let go of, however many others come.
func TestAnAccountInUseStays(t *testing.T) {
	l := relays(1, 0)
	l.Accounts = 1
	b := NewLimiter(l)
	m := b.Open("alice", "", 0)
	wantPassed(t, b, m, 0, 4, 4)
	for i := range 10_000 {
		other := b.Open(fmt.Sprint(i), "", 0)
		b.Spend(other, 0, Relays, 1)
		b.Close(other, 0)
	}
	wantPassed(t, b, b.Open("alice", "", 0), 0, 4, 0)
}

// Connections of one user are on several loops.
func TestAccountsFromManyGoroutines(t *testing.T) {
	l := relays(2, 2)
	l.Connection[Relays] = Limit{PerSecond: 1e-9, Burst: 1000}
	b := NewLimiter(l)
	var total sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for range 8 {
		total.Go(func() {
			n := 0
			for range 100 {
				m := b.Open("alice", "here", 0)
				got, _, _ := passed(b, m, time.Duration(n), 10)
				n += got
				b.Close(m, 0)
			}
			mu.Lock()
			defer mu.Unlock()
			sum += n
		})
	}
	total.Wait()
	if sum != 2000 {
		t.Errorf("%d passed, want 2000", sum)
	}
}

func (t *accounts) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.named)
		s.mu.Unlock()
	}
	return n
}
