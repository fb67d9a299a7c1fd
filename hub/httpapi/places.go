package httpapi

import (
	"net/http"
	"net/netip"
	"sync"

	"github.com/busbar-ws/busbar/hub"
)

// kind is what a request is served as. Each kind has places of its own, so that none can keep
// another from being served.
type kind int

const (
	publishing    kind = iota // the admin token's calls that publish
	scraping                  // each scrape asks every loop for its numbers
	administering             // the admin token's other calls
	calling                   // clients' pulls, and what strangers may: the demo page, new guests
	kinds
)

// places bound how many requests of each kind are served at one time. Safe from any goroutine;
// nil has no bounds.
//
// Invariant: all kinds have together fewer places than there may be connections. Otherwise
// requests that hold theirs for long could keep a probe's connection from being accepted. One
// whose caller's token is being looked up has none yet, and holds no connection (Listener).
type places struct {
	shared []netip.Prefix // addresses of many callers, such as a proxy's: no share is theirs

	mu sync.Mutex
	of [kinds]lane
}

// lane is the places of one kind.
type lane struct {
	free              int
	ofUser, ofAddress int // what one of them may hold; counted for calling alone
	byUser            map[string]int
	byAddress         map[netip.Addr]int
}

// newPlaces divides up a listener's connections, 8 or more; an eighth is kept free of requests.
func newPlaces(connections int, shared []netip.Prefix) *places {
	p := &places{shared: shared}
	p.of[publishing].free = max(connections/4, 2)
	p.of[scraping].free = min(max(connections/16, 1), 4)
	p.of[administering].free = max(connections/16, 1)
	rest := connections - max(connections/8, 2)
	for k := range calling {
		rest -= p.of[k].free
	}
	p.of[calling].divide(rest)
	return p
}

func (l *lane) divide(n int) {
	l.free = max(n, 1)
	l.ofUser, l.ofAddress = max(n/8, 1), max(n/2, 1)
	l.byUser, l.byAddress = make(map[string]int), make(map[netip.Addr]int)
}

// caller is who a place is for; zero fields aren't counted.
type caller struct {
	user    string
	address netip.Addr
}

// callerOf is who sent a request. The identity is nil for strangers; users of one name in two
// tenants are two.
func (p *places) callerOf(r *http.Request, id *hub.Identity) (c caller) {
	if id != nil && !id.Anonymous && id.UserID != "" {
		c.user = id.Tenant + "\x00" + id.UserID
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || p == nil {
		return c
	}
	c.address = from.Addr().Unmap().WithZone("")
	for _, s := range p.shared {
		if s.Contains(c.address) {
			c.address = netip.Addr{}
			return c
		}
	}
	if c.address.Is6() { // whoever has one address of a /64 has all of them (RFC 4291 section 2.5.4)
		network, _ := c.address.Prefix(64)
		c.address = network.Addr()
	}
	return c
}

// take takes a place of a kind, for which leave is to be called once. A failure says whose
// places are all taken.
func (p *places) take(k kind, c caller) (leave func(), full *failure) {
	if p == nil {
		return func() {}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &p.of[k]
	switch {
	case l.free == 0:
		return nil, busy("too many requests are being served, try again")
	case l.byUser == nil:
		c = caller{}
	case c.user != "" && l.byUser[c.user] >= l.ofUser:
		return nil, busy("too many requests of this user are being served, try again")
	case c.address.IsValid() && l.byAddress[c.address] >= l.ofAddress:
		return nil, busy("too many requests from this address are being served, try again")
	}
	l.count(c, 1)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		l.count(c, -1)
	}, nil
}

// count notes places that were taken, or given back: n is 1 or -1.
func (l *lane) count(c caller, n int) {
	l.free -= n
	if c.user != "" {
		add(l.byUser, c.user, n)
	}
	if c.address.IsValid() {
		add(l.byAddress, c.address, n)
	}
}

func add[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

func busy(message string) *failure {
	return newFailure(http.StatusServiceUnavailable, "BUSY", message)
}

// in serves a call in a place of its kind. Its connection is held meanwhile: it doesn't have
// to make room for others.
func (a *api) in(k kind, id *hub.Identity, c call, w http.ResponseWriter, r *http.Request) error {
	leave, full := a.places.take(k, a.places.callerOf(r, id))
	if full != nil {
		return a.refuse(w, full)
	}
	defer leave()
	if conn := connOf(r); conn != nil {
		conn.hold(k < calling)
		defer conn.letGo()
	}
	return c(w, r)
}

// refuse ends the connection with the answer, because there are too many.
func (a *api) refuse(w http.ResponseWriter, full *failure) error {
	a.counts.busy.Inc()
	w.Header().Set("Connection", "close")
	return full
}
