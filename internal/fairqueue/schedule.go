package fairqueue

import (
	"container/list"
	"errors"
	"net/netip"
)

// Errors of tasks that a queue doesn't take.
var (
	ErrFull   = errors.New("too much is waiting")
	ErrShare  = errors.New("too much is waiting for this user or address")
	ErrClosed = errors.New("the queue is closed")
)

// Owner is whom a task is done for. Zero fields are nobody's: no share is theirs.
type Owner struct {
	User    string
	Address netip.Addr // of IPv6 the /64 counts, since whoever has one of its addresses has all (RFC 4291 section 2.5.4)
}

func (o Owner) normal() Owner {
	o.Address = o.Address.Unmap().WithZone("")
	if o.Address.Is6() {
		network, _ := o.Address.Prefix(64) // can't fail: 64 is not above 128
		o.Address = network.Addr()
	}
	return o
}

// Limits bound a queue. All numbers must be positive.
type Limits struct {
	Running int // tasks at once
	Waiting int // tasks that wait for their turn
	Bytes   int // that these take
	// Hold counts n bytes of a task elsewhere too, until it has ended; ok is false where there is no
	// room for them. Nil: nobody does.
	Hold func(n int) (release func(), ok bool)
}

// userPart is the part of what is free that one user may have at most: one over this. An address
// may have as much as is free. Since what is free shrinks as somebody takes of it, a user has at
// most a fifth of everything, an address half, two addresses half and a quarter: somebody who has
// nothing yet always finds something free.
const userPart = 4

// usage is what somebody has of a queue.
type usage struct{ running, waiting, bytes int }

func (u *usage) idle() bool { return u.running == 0 && u.waiting == 0 }

// schedule decides which task is next. It is pure, and not safe for several goroutines.
//
// Addresses take turns, and within one its users do: a user's tasks run in the order in which they
// came. Invariant: addresses has those in byAddress for which something waits, and an address's
// users those in byUser for which something waits from there.
type schedule struct {
	limits    Limits
	total     usage
	byUser    map[string]*usage
	byAddress map[netip.Addr]*address
	addresses list.List // of *address, the next turn first
}

type address struct {
	usage
	key    netip.Addr
	byUser map[string]*user // those for whom something waits
	users  list.List        // of *user, the next turn first
	turn   *list.Element    // in schedule.addresses
}

type user struct {
	key   string
	total *usage    // from all addresses
	tasks list.List // of *Task, the oldest first
	turn  *list.Element
}

func newSchedule(l Limits) *schedule {
	return &schedule{limits: l, byUser: make(map[string]*usage), byAddress: make(map[netip.Addr]*address)}
}

// add takes a task in, to wait for its turn.
func (s *schedule) add(t *Task) error {
	owner, anywhere := s.usagesOf(t.owner)
	tasks, bytes := s.limits.Waiting-s.total.waiting, s.limits.Bytes-s.total.bytes
	switch {
	case tasks < 1 || bytes < max(t.bytes, 1):
		return ErrFull
	case t.owner.User != "" && (userPart*anywhere.waiting >= tasks || userPart*anywhere.bytes >= bytes),
		t.owner.Address.IsValid() && (owner.waiting >= tasks || owner.bytes >= bytes):
		return ErrShare
	}
	s.enqueue(t)
	s.count(t, usage{waiting: 1, bytes: t.bytes})
	return nil
}

// next takes the next task that may run out of those that wait; nil when there is none.
// It looks past those who have their share: each of these has a task that runs, so they are few.
func (s *schedule) next() *Task {
	free := s.limits.Running - s.total.running
	if free < 1 {
		return nil
	}
	for at := s.addresses.Front(); at != nil; at = at.Next() {
		a := at.Value.(*address)
		if a.key.IsValid() && a.running >= free {
			continue
		}
		for of := a.users.Front(); of != nil; of = of.Next() {
			u := of.Value.(*user)
			if u.key != "" && userPart*u.total.running >= free {
				continue
			}
			t := u.tasks.Front().Value.(*Task)
			a.users.MoveToBack(of)
			s.addresses.MoveToBack(at)
			s.dequeue(t)
			s.count(t, usage{running: 1, waiting: -1, bytes: -t.bytes})
			return t
		}
	}
	return nil
}

// end is for a task that next has returned.
func (s *schedule) end(t *Task) { s.count(t, usage{running: -1}) }

// cancel takes out a task that waits.
func (s *schedule) cancel(t *Task) {
	s.dequeue(t)
	s.count(t, usage{waiting: -1, bytes: -t.bytes})
}

// usagesOf is what a task's owner has; zero for who has nothing.
func (s *schedule) usagesOf(o Owner) (ofAddress, ofUser usage) {
	if a := s.byAddress[o.Address]; a != nil {
		ofAddress = a.usage
	}
	if u := s.byUser[o.User]; u != nil {
		ofUser = *u
	}
	return ofAddress, ofUser
}

func (s *schedule) enqueue(t *Task) {
	a := s.byAddress[t.owner.Address]
	if a == nil {
		a = &address{key: t.owner.Address, byUser: make(map[string]*user)}
		s.byAddress[a.key] = a
	}
	total := s.byUser[t.owner.User]
	if total == nil {
		total = new(usage)
		s.byUser[t.owner.User] = total
	}
	u := a.byUser[t.owner.User]
	if u == nil {
		u = &user{key: t.owner.User, total: total}
		a.byUser[u.key] = u
		u.turn = a.users.PushBack(u)
	}
	if a.turn == nil {
		a.turn = s.addresses.PushBack(a)
	}
	t.place = u.tasks.PushBack(t)
}

// dequeue takes a task out of the lists, and those out of them for whom nothing waits any more.
func (s *schedule) dequeue(t *Task) {
	a := s.byAddress[t.owner.Address]
	u := a.byUser[t.owner.User]
	u.tasks.Remove(t.place)
	t.place = nil
	if u.tasks.Len() == 0 {
		a.users.Remove(u.turn)
		delete(a.byUser, u.key)
	}
	if a.users.Len() == 0 {
		s.addresses.Remove(a.turn)
		a.turn = nil
	}
}

// count adds to what there is, and forgets who has nothing any more.
func (s *schedule) count(t *Task, n usage) {
	a, u := s.byAddress[t.owner.Address], s.byUser[t.owner.User]
	for _, of := range []*usage{&s.total, &a.usage, u} {
		of.running += n.running
		of.waiting += n.waiting
		of.bytes += n.bytes
	}
	if a.idle() {
		delete(s.byAddress, a.key)
	}
	if u.idle() {
		delete(s.byUser, t.owner.User)
	}
}
