package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub"
)

// JWTOptions says which JSON Web Tokens are believed. Exactly one of KeyFile and JWKSURL
// has to be set.
type JWTOptions struct {
	// KeyFile holds a secret of 32 bytes or more for HS256 (one line end after it is not
	// part of it), or a PEM public key or certificate: RSA, EC or Ed25519.
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
	// Leeway is how far clocks may differ (default 0).
	Leeway time.Duration
	// AllowNoExpiry lets tokens without "exp" in. They can't be taken back but by
	// changing the key.
	AllowNoExpiry bool
	// CacheTTL is how long a verified token is used without looking at its signature
	// again (default 10 min), and so how long a key that was withdrawn still opens
	// connections.
	CacheTTL time.Duration
	// CacheEntries bounds the verified tokens kept, about (default 1,000,000).
	CacheEntries int
	// RefreshInterval is how often the key set is fetched (default 1 h). A token with an
	// unknown key id fetches it too, at most every 10 s.
	RefreshInterval time.Duration
	// Client fetches the key set; nil for one of its own. Redirects are never followed.
	Client *http.Client
	// Log takes a line when the key set can't be refreshed (default slog.Default()).
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
	setDefault(&o.RefreshInterval, time.Hour)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return checkAlgorithms(o.Algorithms)
}

// JWT believes signed tokens. Safe from any goroutine.
type JWT struct {
	opts   JWTOptions
	parser *jwt.Parser
	key    func(context.Context) jwt.Keyfunc
	memo   memo
	stop   context.CancelFunc
}

var _ hub.Authenticator = (*JWT)(nil)

// NewJWT reads the key file or fetches the key set; an error is one line that names it.
// The caller closes it.
func NewJWT(o JWTOptions) (*JWT, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	j := &JWT{opts: o, stop: func() {}}
	algs, err := j.loadKeys()
	if err != nil {
		return nil, err
	}
	j.parser = jwt.NewParser(parserOptions(&o, algs)...)
	j.memo = memo{
		cache:    newCache(o.CacheEntries),
		flights:  newFlights(64, lookupTimeout, j.opts.Log),
		ttl:      o.CacheTTL,
		maxToken: maxLongToken,
	}
	return j, nil
}

func (j *JWT) loadKeys() (algs []string, err error) {
	if j.opts.JWKSURL != "" {
		return j.loadKeySet()
	}
	k, err := readKey(j.opts.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("JWT key file %s: %w", j.opts.KeyFile, err)
	}
	if algs = both(k.algs, j.opts.Algorithms); len(algs) == 0 {
		return nil, fmt.Errorf("JWT key file %s: the key is for %v and the algorithms allowed are %v", j.opts.KeyFile, k.algs, j.opts.Algorithms)
	}
	j.key = func(context.Context) jwt.Keyfunc {
		return func(*jwt.Token) (any, error) { return k.key, nil }
	}
	return algs, nil
}

func parserOptions(o *JWTOptions, algs []string) []jwt.ParserOption {
	list := []jwt.ParserOption{
		jwt.WithValidMethods(algs),
		jwt.WithLeeway(o.Leeway),
		jwt.WithJSONNumber(),
		jwt.WithStrictDecoding(), // RFC 4648 3.5: one signature is one text, and not four
	}
	if o.Issuer != "" {
		list = append(list, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		list = append(list, jwt.WithAudience(o.Audience))
	}
	if !o.AllowNoExpiry {
		list = append(list, jwt.WithExpirationRequired())
	}
	return list
}

// Close ends the refreshing of the key set.
func (j *JWT) Close() error {
	j.stop()
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

func (j *JWT) verify(ctx context.Context, token string) (*hub.Identity, error) {
	claims := jwt.MapClaims{}
	_, err := j.parser.ParseWithClaims(token, claims, j.key(ctx))
	switch {
	case err == nil:
		return j.identity(claims)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("verify token: %w", ctx.Err())
	case errors.Is(err, errStaleKeySet):
		return nil, errStaleKeySet
	default:
		// The parser's error isn't passed on: it may quote the token.
		return nil, hub.ErrUnauthorized
	}
}
