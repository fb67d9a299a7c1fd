package rates

import "time"

// Verdict is what becomes of something that was asked for.
type Verdict uint8

// The verdicts.
const (
	Passed Verdict = iota
	Refused
	Abused // refused, and so much before it that the connection has to go
)

// Scope is whose limit refused something.
type Scope uint8

// The scopes.
const (
	Connection Scope = iota
	User
	Address
	Scopes // how many there are
)

var scopeNames = [Scopes]string{"connection", "user", "address"}

// String is the scope's name in metrics.
func (s Scope) String() string { return scopeNames[s] }

// Limiter holds a server's limits and the accounts that its connections share. It is safe from
// any goroutine; each Meter belongs to one.
type Limiter struct {
	connection Allowance
	users      *accounts
	addresses  *accounts
}

// NewLimiter makes a limiter of which nothing has been used.
func NewLimiter(l Limits) *Limiter {
	return &Limiter{
		connection: l.Connection,
		users:      newAccounts(l.Connection, l.User, l.Accounts),
		addresses:  newAccounts(l.Connection, l.Address, l.Accounts),
	}
}

// Limits is whether there is a limit for the kind. Where there is none, Spend always passes
// and needs no meter.
func (b *Limiter) Limits(k Kind) bool { return b.connection[k].PerSecond > 0 }

// Meter is what one connection has used. It is owned by the connection's loop, and only
// needed from the first use until Idle.
type Meter struct {
	buckets       [Kinds]bucket
	refused       [Kinds]float64 // within the window
	window        time.Duration  // when it ends
	user, address *account
}

// Open makes a meter. user and address name the accounts that it also draws on; empty: none.
// Close must follow.
func (b *Limiter) Open(user, address string, now time.Duration) *Meter {
	return &Meter{user: b.users.open(user, now), address: b.addresses.open(address, now)}
}

// Close ends the use of a meter.
func (b *Limiter) Close(m *Meter, now time.Duration) {
	b.users.close(m.user, now)
	b.addresses.close(m.address, now)
	m.user, m.address = nil, nil
}

// Idle is whether the meter is as good as a new one.
func (b *Limiter) Idle(m *Meter, now time.Duration) bool {
	for k := range m.buckets {
		if !m.buckets[k].full(b.connection[k], now) {
			return false
		}
	}
	return now >= m.window
}

// Spend takes n tokens of a kind. What was refused costs none. scope means something unless
// it passed.
func (b *Limiter) Spend(m *Meter, now time.Duration, k Kind, n int) (v Verdict, scope Scope) {
	if !b.Limits(k) {
		return Passed, Connection
	}
	scope, passed := b.take(m, now, k, float64(n))
	switch {
	case passed:
		return Passed, scope
	case m.refuse(b.connection[k], now, k, float64(n)):
		return Abused, scope
	}
	return Refused, scope
}

func (b *Limiter) take(m *Meter, now time.Duration, k Kind, n float64) (scope Scope, passed bool) {
	own, limit := &m.buckets[k], b.connection[k]
	own.settle(limit, now)
	if !own.holds(limit, n) {
		return Connection, false
	}
	if !m.user.take(now, k, n) {
		return User, false
	}
	if !m.address.take(now, k, n) {
		m.user.giveBack(k, n)
		return Address, false
	}
	own.used += n
	return Connection, true
}

// refuse counts what was refused, and reports whether it has become too much. A window opens
// with the first refusal after the last one's end.
func (m *Meter) refuse(l Limit, now time.Duration, k Kind, n float64) (abuse bool) {
	if now >= m.window {
		m.window, m.refused = now+Window, [Kinds]float64{}
	}
	m.refused[k] += n
	return m.refused[k] > l.abuse()
}
