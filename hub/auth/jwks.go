package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/ask"
	"github.com/busbar-ws/busbar/internal/panics"
)

const (
	fetchTimeout = 5 * time.Second
	maxKeySet    = 1 << 20 // bytes

	// unverifiedInterval bounds the fetches that tokens with invented keys can cause.
	unverifiedInterval = 10 * time.Second
	// leastRefresh is the shortest lifetime that is taken from an answer, and how long to wait
	// after a fetch that failed.
	leastRefresh = 30 * time.Second
	// maxAwaiting is how many lookups wait for one fetch. They hold places that others need: with a
	// server of keys that hangs, invented tokens would hold all of them.
	maxAwaiting = 16
)

// keySet keeps the keys of a JSON Web Key Set behind a URL. Safe from any goroutine.
type keySet struct {
	url, name  string // name is what may be shown of url
	algs       []string
	interval   time.Duration
	client     *http.Client
	log        *slog.Logger
	panics     panics.Log
	unverified *rate.Limiter  // of fetches on account of tokens
	replaced   func(*keyRing) // is told each new ring, one at a time
	ctx        context.Context
	cancel     context.CancelFunc
	running    sync.WaitGroup // fetches

	mu       sync.Mutex // guards what follows
	ring     *keyRing
	fetched  time.Time     // when ring was
	out      []leftOut     // of the last set
	fetching chan struct{} // closed at the end of the fetch under way; nil: none
	awaiting int           // lookups that wait for that
	stale    bool          // the last fetch failed
	next     *time.Timer   // begins the next fetch; nil: the set is closed, or not open yet
}

// errStaleKeySet: the token's key isn't known, and may be in the set that couldn't be fetched.
var errStaleKeySet = errors.New("the JWT key set can't be fetched, and the one from before lacks the token's key")

// errAwaited: so it may be for the same reason, and too many tokens wait to know.
var errAwaited = errors.New("too many tokens wait for the JWT key set to be fetched")

// openKeySet fetches the key set, and again every interval until close is called.
func openKeySet(o *JWTOptions, replaced func(*keyRing)) (*keySet, error) {
	name, err := ask.Name(o.JWKSURL)
	if err != nil {
		return nil, fmt.Errorf("JWKS URL: %w", err)
	}
	s := &keySet{url: o.JWKSURL, name: name, interval: o.RefreshInterval, log: o.Log, replaced: replaced}
	// Only algorithms with public keys: a symmetric key that is served is no secret.
	s.algs = slices.DeleteFunc(slices.Clone(o.Algorithms), func(a string) bool { return strings.HasPrefix(a, "HS") })
	if len(s.algs) == 0 {
		return nil, fmt.Errorf("key set %s: none of the algorithms %v uses public keys", name, o.Algorithms)
	}
	s.client = ask.NewClient(o.Client, 1)
	s.unverified = rate.NewLimiter(rate.Every(min(unverifiedInterval, s.interval)), 1)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	after, err := s.load()
	if err == nil && len(s.ring.keys) == 0 {
		err = errors.New("it holds no key that can be used")
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("key set %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.AfterFunc(after, s.refresh)
	return s, nil
}

// close returns when nothing of the set runs any more.
func (s *keySet) close() {
	s.cancel()
	s.mu.Lock()
	if s.next != nil {
		s.next.Stop()
		s.next = nil
	}
	s.mu.Unlock()
	s.running.Wait()
	s.client.CloseIdleConnections()
}

func (s *keySet) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
}

// begin starts a fetch unless one is under way. Call it with mu held.
func (s *keySet) begin() {
	if s.fetching != nil || s.next == nil {
		return
	}
	s.fetching = make(chan struct{})
	s.running.Go(s.fetch)
}

func (s *keySet) fetch() {
	after, err := s.load()
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.fetching)
	s.fetching = nil
	if s.next == nil {
		return
	}
	s.next.Reset(after)
	if s.stale = err != nil; s.stale {
		s.log.Warn("refresh JWT key set; the keys from before go on counting", "url", s.name, "error", err,
			"fetched_ago", time.Since(s.fetched).Round(time.Second))
	}
}

// newer returns a ring that is newer than old: another's, or one that is fetched now on account of a
// token that old couldn't verify. Anybody can invent such tokens, so that this is done once in a
// while only; between that old is as good as any, and is returned.
func (s *keySet) newer(ctx context.Context, old *keyRing) (*keyRing, error) {
	s.mu.Lock()
	if s.ring != old {
		defer s.mu.Unlock()
		return s.ring, nil
	}
	if s.fetching == nil && s.unverified.Allow() {
		s.begin()
	}
	fetching := s.fetching
	switch {
	case fetching == nil:
		defer s.mu.Unlock()
		return s.current()
	case s.awaiting >= maxAwaiting:
		s.mu.Unlock()
		return nil, errAwaited
	}
	s.awaiting++
	s.mu.Unlock()
	var err error
	select {
	case <-fetching:
	case <-ctx.Done():
		err = fmt.Errorf("wait for JWT key set: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaiting--
	if err != nil {
		return nil, err
	}
	return s.current()
}

func (s *keySet) current() (*keyRing, error) {
	if s.stale {
		return nil, errStaleKeySet
	}
	return s.ring, nil
}

// load fetches the set once. It returns how long until the next time, after an error too.
func (s *keySet) load() (after time.Duration, err error) {
	after = min(s.interval, leastRefresh)
	defer func() {
		if r := recover(); r != nil {
			s.panics.Note(s.log, "while reading the JWT key set", r)
			err = fmt.Errorf("%w: %v", hub.ErrPanicked, r)
		}
	}()
	body, cacheControl, err := s.get()
	if err != nil {
		return after, ask.Bare(err)
	}
	keys, out, err := readKeySet(body, s.algs)
	if err != nil {
		return after, err
	}
	s.take(&keyRing{keys}, out)
	return refreshAfter(cacheControl, s.interval), nil
}

// take makes a set the one that counts, also an empty one: its owner may withdraw every key.
func (s *keySet) take(ring *keyRing, out []leftOut) {
	s.mu.Lock()
	before, told := s.ring, s.out
	s.fetched, s.out = time.Now(), out
	if before != nil && !ring.lacks(before) && !before.lacks(ring) {
		ring = before
	}
	s.ring = ring
	s.mu.Unlock()
	for _, o := range out {
		if !slices.Contains(told, o) {
			s.log.Warn("a key of the JWT key set is left out", "url", s.name, "kid", o.kid, "why", o.why)
		}
	}
	if ring == before {
		return
	}
	if before != nil {
		s.log.Info("the JWT key set has changed", "url", s.name, "keys", len(ring.keys))
	}
	s.replaced(ring)
}

// get asks for the set, of the server itself and not of a cache on the way to it.
func (s *keySet) get() (body []byte, cacheControl []string, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("User-Agent", "busbar")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err == nil && len(body) > maxKeySet {
		err = fmt.Errorf("over %d bytes", maxKeySet)
	}
	return body, resp.Header.Values("Cache-Control"), err
}

// refreshAfter is how long a set may be used: what its Cache-Control says (RFC 9111 section 5.2.2),
// but no longer than interval, and not too short. What mustn't be stored at all gets interval:
// frameworks say that of everything that they serve.
func refreshAfter(header []string, interval time.Duration) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(header, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
		if err == nil && seconds > 0 {
			return min(interval, max(time.Duration(seconds)*time.Second, leastRefresh))
		}
	}
	return interval
}
