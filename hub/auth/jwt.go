package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub"
)

// JWTOptions says which JSON Web Tokens are believed. Exactly one of KeyFile and JWKSURL
// has to be set.
type JWTOptions struct {
	// KeyFile holds a secret of 32 bytes or more for HS256, or a PEM public key or
	// certificate: RSA, EC or Ed25519. One line end after a secret is not part of it. A
	// secret in text with more white space or a byte order mark around it is taken with
	// and without that, and a warning is logged.
	KeyFile string
	// JWKSURL serves a JSON Web Key Set. Symmetric keys in it are never used.
	JWKSURL string
	// Issuer and Audience are required of each token where set.
	Issuer, Audience string
	// UserClaim names the claim with the user id (default "sub"), TenantClaim the one
	// with the tenant (default "tenant"). AdminClaim names one that makes an admin when
	// it is true; empty = tokens make no admins.
	UserClaim, TenantClaim, AdminClaim string
	// Algorithms are those believed (default HS256, RS256, ES256, EdDSA). Of these only
	// the ones made for the key's type count, whatever a token's header says.
	Algorithms []string
	// Leeway is how far clocks may differ, for exp, nbf and iat (default 0).
	Leeway time.Duration
	// AllowNoExp lets tokens without "exp" in. They can't be taken back but by changing the key.
	AllowNoExp bool
	// CacheTTL is how long a verified token is used without looking at its signature
	// again (default 10 min), unless a key is withdrawn.
	CacheTTL time.Duration
	// CacheEntries bounds the verified tokens kept, about (default 1,000,000).
	CacheEntries int
	// RefreshInterval is how often the key set is fetched at least (default 5 min), and so how
	// long a key that was withdrawn may still open connections. An answer whose Cache-Control says
	// a shorter time is fetched again after that, but not within 30 s. A token that no key of the
	// set verifies fetches it too, at most every 10 s.
	RefreshInterval time.Duration
	// Client fetches the key set; nil for one of its own. Redirects are never followed.
	Client *http.Client
	// Log takes a line for each key that is left out, and when the set changes or can't be
	// refreshed (default slog.Default()).
	Log *slog.Logger
}

func (o *JWTOptions) setDefaults() error {
	if (o.KeyFile == "") == (o.JWKSURL == "") {
		return errors.New("JWT: exactly one of a key file and a JWKS URL is needed")
	}
	if o.UserClaim == "" {
		o.UserClaim = "sub"
	}
	if o.TenantClaim == "" {
		o.TenantClaim = "tenant"
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"HS256", "RS256", "ES256", "EdDSA"}
	}
	if o.Leeway < 0 {
		return fmt.Errorf("JWT: leeway %v is negative", o.Leeway)
	}
	setDefault(&o.CacheTTL, 10*time.Minute)
	setDefault(&o.RefreshInterval, 5*time.Minute)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return checkAlgorithms(o.Algorithms)
}

// JWT believes signed tokens. Safe from any goroutine.
type JWT struct {
	opts   JWTOptions
	parser *jwt.Parser
	algs   []string
	ring   atomic.Pointer[keyRing]
	set    *keySet // nil when the key is a file's
	memo   memo
}

var _ hub.Authenticator = (*JWT)(nil)

// NewJWT reads the key file or fetches the key set; an error is one line that names it.
// The caller closes it.
func NewJWT(o JWTOptions) (*JWT, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	j := &JWT{opts: o}
	j.memo = memo{
		cache:    newCache(o.CacheEntries),
		flights:  newFlights(lookupTimeout, j.opts.Log),
		ttl:      o.CacheTTL,
		maxToken: maxLongToken,
	}
	if err := j.loadKeys(); err != nil {
		return nil, err
	}
	j.parser = jwt.NewParser(parserOptions(&o, j.algs)...)
	return j, nil
}

func (j *JWT) loadKeys() (err error) {
	if j.opts.JWKSURL != "" {
		if j.set, err = openKeySet(&j.opts, j.replace); err == nil {
			j.algs = j.set.algs
		}
		return err
	}
	ring, algs, err := j.readKeyFile(j.opts.KeyFile)
	j.algs = algs
	j.ring.Store(ring)
	return err
}

func (j *JWT) readKeyFile(path string) (ring *keyRing, algs []string, err error) {
	k, err := readKey(path)
	if err != nil {
		return nil, nil, fmt.Errorf("JWT key file %s: %w", path, err)
	}
	if algs = both(k.algs, j.opts.Algorithms); len(algs) == 0 {
		return nil, nil, fmt.Errorf("JWT key file %s: the key is for %v and the algorithms allowed are %v", path, k.algs, j.opts.Algorithms)
	}
	keys := []namedKey{{"", k}}
	if k.bare != nil {
		keys = append(keys, namedKey{"", key{key: k.bare, algs: k.algs}})
		j.opts.Log.Warn("JWT key file: the secret begins or ends in white space or a byte order mark; "+
			"tokens signed without that are taken too", "file", path)
	}
	return &keyRing{keys}, algs, nil
}

// Reload reads the key file anew, which may be another one by now. Nothing changes before apply is called, which says
// whether the key is another one: tokens of the one before open no more connections then. A key set behind a URL is
// fetched anew by apply. A key for other algorithms than the one before is an error.
func (j *JWT) Reload(keyFile string) (apply func() (changed bool), err error) {
	if j.set != nil {
		return func() bool { j.set.refresh(); return false }, nil
	}
	ring, algs, err := j.readKeyFile(keyFile)
	switch {
	case err != nil:
		return nil, err
	case !slices.Equal(algs, j.algs):
		return nil, fmt.Errorf("JWT key file %s: the key is for %v, and the one before for %v; that takes a restart", keyFile, algs, j.algs)
	}
	return func() bool {
		old := j.ring.Load()
		j.replace(ring)
		return ring.lacks(old)
	}, nil
}

// replace makes a ring the one that counts. Once a key has gone nothing that was verified before
// does: what a lookup that is under way leaves in the cache is dropped by memo.epoch.
func (j *JWT) replace(ring *keyRing) {
	old := j.ring.Swap(ring)
	if old != nil && ring.lacks(old) {
		j.memo.epoch.Add(1)
		j.memo.cache.clear()
	}
}

func parserOptions(o *JWTOptions, algs []string) []jwt.ParserOption {
	list := []jwt.ParserOption{
		jwt.WithValidMethods(algs),
		jwt.WithLeeway(o.Leeway),
		jwt.WithIssuedAt(),
		jwt.WithJSONNumber(),
		jwt.WithStrictDecoding(), // RFC 4648 3.5: one signature is one text, and not four
	}
	if o.Issuer != "" {
		list = append(list, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		list = append(list, jwt.WithAudience(o.Audience))
	}
	if !o.AllowNoExp {
		list = append(list, jwt.WithExpirationRequired())
	}
	return list
}

// Close ends the refreshing of the key set.
func (j *JWT) Close() error {
	if j.set != nil {
		j.set.close()
	}
	j.memo.flights.close()
	return nil
}

// Cached answers from memory; it verifies nothing.
func (j *JWT) Cached(token string) (*hub.Identity, bool) { return j.memo.cached(token) }

// Authenticate verifies a token that isn't cached. It may fetch the key set.
func (j *JWT) Authenticate(ctx context.Context, token string) (*hub.Identity, error) {
	return j.memo.authenticate(ctx, token, func(ctx context.Context) (*hub.Identity, error) {
		if !readOneWay(token) {
			return nil, &hub.Refusal{Cause: hub.CauseMalformed}
		}
		return j.verify(ctx, token)
	})
}

// verify tries the keys that are known, and then those that the set has by now: keys are rotated
// without asking us, with and without a kid, and under the kid that the old one had.
func (j *JWT) verify(ctx context.Context, token string) (*hub.Identity, error) {
	ring := j.ring.Load()
	id, unverified, err := j.verifyWith(ring, token)
	if !unverified || j.set == nil {
		return id, err
	}
	newer, failed := j.set.newer(ctx, ring)
	switch {
	case failed != nil:
		return nil, failed
	case newer == ring:
		return nil, err
	}
	id, _, err = j.verifyWith(newer, token)
	return id, err
}

// verifyWith believes one ring. unverified says that another might have the key.
func (j *JWT) verifyWith(ring *keyRing, token string) (id *hub.Identity, unverified bool, err error) {
	claims := jwt.MapClaims{}
	t, err := j.parser.ParseWithClaims(token, claims, ring.find)
	if err == nil {
		id, err = j.identity(claims)
		return id, false, err
	}
	// The parser's error isn't passed on: it may quote the token.
	why := j.whyUnverified(t, err)
	if why != nil {
		unverified = errors.Is(err, errUnknownKID) || errors.Is(err, errNoKey) || why.Cause == hub.CauseSignature
		return nil, unverified, why
	}
	return nil, false, j.whyInvalid(claims, err)
}
