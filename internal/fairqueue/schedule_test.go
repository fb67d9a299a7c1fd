package fairqueue

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// model is the plainest schedule that there could be: it looks at all tasks each time.
type model struct {
	limits  Limits
	waiting []*Task // in the order in which they came
	running []*Task
	moment  int
	turns   map[any]int // when an address, or a user at one, last began to wait or had its turn
}

func (m *model) usageOf(of func(*Task) bool) (u usage) {
	for _, t := range m.waiting {
		if of(t) {
			u.waiting++
			u.bytes += t.bytes
		}
	}
	for _, t := range m.running {
		if of(t) {
			u.running++
		}
	}
	return u
}

func (m *model) all() usage { return m.usageOf(func(*Task) bool { return true }) }

func (m *model) ofUser(t *Task) usage {
	if t.owner.User == "" {
		return usage{}
	}
	return m.usageOf(func(o *Task) bool { return o.owner.User == t.owner.User })
}

func (m *model) ofAddress(t *Task) usage {
	if !t.owner.Address.IsValid() {
		return usage{}
	}
	return m.usageOf(func(o *Task) bool { return o.owner.Address == t.owner.Address })
}

func (m *model) waits(of func(*Task) bool) bool { return slices.ContainsFunc(m.waiting, of) }

func (m *model) add(t *Task) error {
	all, user, address := m.all(), m.ofUser(t), m.ofAddress(t)
	tasks, bytes := m.limits.Waiting-all.waiting, m.limits.Bytes-all.bytes
	switch {
	case tasks == 0 || bytes == 0 || t.bytes > bytes:
		return ErrFull
	case user.waiting*4 >= tasks, user.bytes*4 >= bytes, address.waiting >= tasks, address.bytes >= bytes:
		return ErrShare
	}
	m.moment++
	if !m.waits(func(o *Task) bool { return o.owner.Address == t.owner.Address }) {
		m.turns[t.owner.Address] = m.moment
	}
	if !m.waits(func(o *Task) bool { return o.owner == t.owner }) {
		m.turns[t.owner] = m.moment
	}
	m.waiting = append(m.waiting, t)
	return nil
}

func (m *model) next() *Task {
	free := m.limits.Running - m.all().running
	var may []*Task
	for _, t := range m.waiting {
		if free > 0 && m.ofUser(t).running*4 < free && m.ofAddress(t).running < free {
			may = append(may, t)
		}
	}
	if len(may) == 0 {
		return nil
	}
	t := slices.MinFunc(may, func(a, b *Task) int { // the first of those alike
		return cmp.Or(cmp.Compare(m.turns[a.owner.Address], m.turns[b.owner.Address]),
			cmp.Compare(m.turns[a.owner], m.turns[b.owner]))
	})
	m.moment++
	m.turns[t.owner.Address], m.turns[t.owner] = m.moment, m.moment
	m.waiting = slices.DeleteFunc(m.waiting, func(o *Task) bool { return o == t })
	m.running = append(m.running, t)
	return t
}

func owners(users, addresses int) (all []Owner) {
	for u := range users + 1 {
		for a := range addresses + 1 {
			o := Owner{}
			if u > 0 {
				o.User = fmt.Sprint("user", u)
			}
			if a > 0 {
				o.Address = netip.AddrFrom4([4]byte{10, 0, 0, byte(a)})
			}
			all = append(all, o)
		}
	}
	return all
}

// Whatever comes, runs, ends and is given up in which order: the schedule does as the model does.
func TestScheduleIsAsTheModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 12))
		limits := Limits{Running: 1 + r.IntN(12), Waiting: 1 + r.IntN(40), Bytes: 1 + r.IntN(2000)}
		s, m := newSchedule(limits), &model{limits: limits, turns: make(map[any]int)}
		who := owners(1+r.IntN(4), 1+r.IntN(4))
		for range 400 {
			switch r.IntN(5) {
			case 0, 1:
				task := &Task{owner: who[r.IntN(len(who))], bytes: r.IntN(200)}
				if got, want := s.add(task), m.add(task); !errors.Is(got, want) {
					t.Fatalf("seed %d: added to %+v: %v, want %v", seed, m.all(), got, want)
				}
			case 2:
				if got, want := s.next(), m.next(); got != want {
					t.Fatalf("seed %d: next is %+v, want %+v", seed, got, want)
				}
			case 3:
				if n := len(m.running); n > 0 {
					i := r.IntN(n)
					s.end(m.running[i])
					m.running = slices.Delete(m.running, i, i+1)
				}
			case 4:
				if n := len(m.waiting); n > 0 {
					i := r.IntN(n)
					s.cancel(m.waiting[i])
					m.waiting = slices.Delete(m.waiting, i, i+1)
				}
			}
			if s.total != m.all() {
				t.Fatalf("seed %d: there is %+v, want %+v", seed, s.total, m.all())
			}
		}
		for len(m.waiting) > 0 {
			s.cancel(m.waiting[0])
			m.waiting = m.waiting[1:]
		}
		for _, task := range m.running {
			s.end(task)
		}
		if len(s.byUser)+len(s.byAddress)+s.addresses.Len() != 0 || s.total != (usage{}) {
			t.Fatalf("seed %d: something stays: %+v", seed, s)
		}
	}
}

// However much a few have: who has nothing is taken, and runs at once.
func TestNewcomersFindRoom(t *testing.T) {
	s := newSchedule(Limits{Running: 64, Waiting: 10_000, Bytes: 1 << 20})
	for i := range byte(3) {
		for u := range 1000 {
			o := Owner{User: fmt.Sprint("guest", i, "-", u), Address: netip.AddrFrom4([4]byte{10, 0, 0, i})}
			for s.add(&Task{owner: o, bytes: 10}) == nil {
			}
		}
	}
	for s.next() != nil {
	}
	newcomer := &Task{owner: Owner{User: "alice", Address: netip.MustParseAddr("10.1.1.1")}, bytes: 1000}
	if err := s.add(newcomer); err != nil {
		t.Fatalf("%v: %+v", err, s.total)
	}
	if s.next() != newcomer {
		t.Errorf("the newcomer doesn't run: %+v", s.total)
	}
}

func TestOwnersOfOneNetworkAreOne(t *testing.T) {
	for in, want := range map[string]string{
		"2001:db8::1": "2001:db8::", "2001:db8::ffff:0:0:1%eth0": "2001:db8::", "2001:db8:0:1::1": "2001:db8:0:1::",
		"::ffff:10.0.0.1": "10.0.0.1", "10.0.0.1": "10.0.0.1",
	} {
		o := Owner{Address: netip.MustParseAddr(in)}
		if got := o.normal().Address.String(); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}
