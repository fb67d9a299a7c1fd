package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// arena is a daemon, what is published to it, and what has come of that. Its methods are safe
// from any goroutine once it is open.
type arena struct {
	*daemon
	book  *Book
	began time.Time
	seed  uint64

	mu     sync.Mutex
	counts map[string]int
	wrongs []string // the first of them
	wrong  context.CancelFunc
}

// maxWrongs ends a run: what comes after so many has the same cause.
const maxWrongs = 20

func newArena(d *daemon, b *Book) *arena {
	return &arena{daemon: d, book: b, counts: map[string]int{}, seed: uint64(time.Now().UnixNano()), wrong: func() {}}
}

func (a *arena) count(what string) { a.countN(what, 1) }

func (a *arena) countN(what string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[what] += n
}

// blame notes that something went wrong, unless it ended because the run was over.
func (a *arena) blame(ctx context.Context, who string, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.wrongs) < maxWrongs {
		a.wrongs = append(a.wrongs, fmt.Sprintf("at %v, %s: %v", time.Since(a.began).Round(10*time.Millisecond), who, err))
		return
	}
	a.wrong()
}

func (a *arena) blamed() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.wrongs...)
}

// place of a client among those of its kind, who owns the random numbers it lives by.
type slot struct {
	name   string
	local  net.IP
	random *rand.Rand
	token  string
	cursor uint64 // seq of the newest change of its last life
	relay  *stream
}

// perAddress is how many clients share an address: below the default of -max-per-ip.
const perAddress = 16

func (a *arena) slots(ctx context.Context, name string, first, count int) ([]*slot, error) {
	made := make([]*slot, count)
	for i := range made {
		at := (first + i) / perAddress
		s := &slot{
			name: fmt.Sprintf("%s%d", name, i), local: net.IPv4(127, 1, byte(at/250), byte(1+at%250)),
			random: rand.New(rand.NewPCG(a.seed, uint64(first+i))),
		}
		s.relay = a.book.streams[fmt.Sprintf("r%d", first+i)]
		if err := a.admit(ctx, s); err != nil {
			return nil, err
		}
		made[i] = s
	}
	return made, nil
}

func (a *arena) admit(ctx context.Context, s *slot) (err error) {
	s.token, err = a.session(ctx, s.name)
	return err
}

func (a *arena) connect(ctx context.Context, s *slot, since uint64, buffer int) (*peer, error) {
	p, err := connect(ctx, caller{address: a.ws, local: s.local, user: s.name, token: s.token, since: since, buffer: buffer}, a.book)
	if err == nil {
		a.count("connected")
	}
	return p, err
}

// relayOnce has a client send a message to all, and waits for it to come back.
func (a *arena) relayOnce(p *peer, s *slot, size int) error {
	r := s.relay
	n := r.begin(1)
	err := p.say(`{"type":"presence",%s}`, jsonNote(r.name, n, size))
	if err == nil {
		err = p.until(patience, func() bool { return p.account.places[r].next > n })
	}
	r.finish(n, 1, err)
	if errors.Is(err, errLate) {
		err = wronged("its own relay %d didn't come back within %v", n, patience)
	}
	a.count("relayed")
	return err
}

// pause waits, and says whether the time is up and not the context.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
