package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// memo is the part that all authenticators share: a cache, filled by one lookup per
// token. Safe from any goroutine.
type memo struct {
	cache    *cache
	flights  *flights
	ttl      time.Duration             // how long a good answer is trusted; 0 = until it expires
	key      func(token string) string // what a token is cached by; nil = itself
	maxToken int                       // longer tokens are refused without asking, in bytes
	renews   bool                      // what a token stands for may last longer than was said at first

	// ended is told about identities that were given out for a session that is none; nil = nobody.
	ended func([]*hub.Identity)

	// epoch counts the moments at which something was revoked. Invariant: a lookup that
	// began in an earlier epoch leaves nothing in the cache. Otherwise a row read just
	// before its deletion could be remembered just after the deletion was dealt with,
	// and stay.
	epoch atomic.Uint64
}

// maxEpochs is how often a lookup is repeated because of revocations beside it.
const maxEpochs = 5

// cached knows the tokens that are good, and that nobody is the empty one. What is remembered of
// bad ones is why they are, which authenticate tells.
func (m *memo) cached(token string) (*hub.Identity, bool) {
	if token == "" {
		return nil, true
	}
	return m.cache.get(m.keyOf(token), thisMoment())
}

func (m *memo) keyOf(token string) string {
	if m.key == nil {
		return token
	}
	return m.key(token)
}

// known is what can be said of a token without asking.
func (m *memo) known(token, key string) (id *hub.Identity, ok bool, err error) {
	switch {
	case token == "":
		return nil, true, &hub.Refusal{Cause: hub.CauseNoToken}
	case len(token) > m.maxToken:
		return nil, true, &hub.Refusal{Cause: hub.CauseTooLong, Detail: fmt.Sprintf("%d bytes", len(token))}
	}
	now := thisMoment()
	if id, ok = m.cache.get(key, now); ok {
		return id, true, nil
	}
	err = m.cache.why(key, now)
	return nil, err != nil, err
}

// authenticate answers from the cache, else asks. ask returns an ErrUnauthorized for a bad token.
func (m *memo) authenticate(ctx context.Context, token string, ask func(context.Context) (*hub.Identity, error)) (*hub.Identity, error) {
	key := m.keyOf(token)
	if id, ok, err := m.known(token, key); ok {
		return id, err
	}
	return m.flights.do(ctx, key, func(ctx context.Context) (*hub.Identity, error) {
		// The flight before this one may have landed since the caller looked.
		if id, ok, err := m.known(token, key); ok {
			return id, err
		}
		return m.fill(ctx, token, key, ask)
	})
}

func (m *memo) fill(ctx context.Context, token, key string, ask func(context.Context) (*hub.Identity, error)) (*hub.Identity, error) {
	for range maxEpochs {
		epoch := m.epoch.Load()
		id, err := ask(ctx)
		if err == nil {
			err = check(id, time.Now())
		}
		if err != nil {
			m.forget(key, err)
			return nil, err
		}
		if m.renews && !id.Expires.IsZero() {
			id.Token = token
		}
		id = m.cache.put(key, id, m.ttl, thisMoment())
		if m.epoch.Load() == epoch {
			return id, nil
		}
	}
	m.forget(key, ErrBusy)
	return nil, ErrBusy
}

// forget notes that a lookup failed. What an earlier round of it left in the cache may
// have been handed out since, so its connections have to end.
func (m *memo) forget(key string, err error) {
	now := time.Now()
	// The connections of what has expired end by themselves.
	ids := slices.DeleteFunc(m.cache.drop(key), func(id *hub.Identity) bool { return expired(id, now) })
	if len(ids) > 0 && m.ended != nil {
		m.ended(ids)
	}
	if errors.Is(err, hub.ErrUnauthorized) {
		m.cache.putBad(key, err, thisMoment())
	}
}

// check refuses identities that the hub mustn't have.
func check(id *hub.Identity, now time.Time) error {
	switch {
	case id.UserID == "" && !id.Admin, !validName(id.UserID): // an empty one is stamped "admin" on what it relays
		return &hub.Refusal{Cause: hub.CauseUserID, Detail: "it is missing, too long or not UTF-8"}
	case !validName(id.Tenant):
		return &hub.Refusal{Cause: hub.CauseTenant, UserID: id.UserID, Detail: "it is too long or not UTF-8"}
	case expired(id, now):
		return &hub.Refusal{Cause: hub.CauseExpired, UserID: id.UserID}
	}
	return nil
}

func expired(id *hub.Identity, now time.Time) bool {
	return !id.Expires.IsZero() && !now.Before(id.Expires)
}
