package auth

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// keySet is a JSON Web Key Set behind a URL. Safe from any goroutine.
type keySet struct {
	stored  jwkset.Storage  // what was fetched last
	lookup  keyfunc.Keyfunc // fetches for a key id that isn't in stored
	unknown *rate.Limiter   // whether it may
	stale   *atomic.Bool    // the last fetch failed
}

// errStaleKeySet: the token's key isn't known, and may be in the set that couldn't be fetched.
var errStaleKeySet = errors.New("the JWT key set can't be fetched, and the one from before lacks the token's key")

// find looks a token's key up. The library would make callers with an unknown key id
// wait for their turn to fetch; here whoever has no turn is refused, since anybody can
// invent key ids.
func (s *keySet) find(ctx context.Context) jwt.Keyfunc {
	return func(token *jwt.Token) (any, error) {
		id, named := token.Header[jwkset.HeaderKID].(string)
		if named && !s.has(ctx, id) && !s.unknown.Allow() {
			return nil, s.missing()
		}
		found, err := s.lookup.KeyfuncCtx(ctx)(token)
		if err != nil && named && !s.has(ctx, id) {
			return nil, s.missing()
		}
		if err != nil {
			return nil, err
		}
		return forAlgorithm(found, token.Method.Alg())
	}
}

func (s *keySet) has(ctx context.Context, id string) bool {
	_, err := s.stored.KeyRead(ctx, id)
	return err == nil
}

// missing says what an unknown key id means: a bad token, unless the set is stale.
func (s *keySet) missing() error {
	if s.stale.Load() {
		return errStaleKeySet
	}
	return jwkset.ErrKeyNotFound
}

// forAlgorithm leaves the keys that are made for the algorithm.
func forAlgorithm(found any, alg string) (any, error) {
	set, ok := found.(jwt.VerificationKeySet)
	if !ok {
		set.Keys = []jwt.VerificationKey{found}
	}
	var fit jwt.VerificationKeySet
	for _, k := range set.Keys {
		if k, err := publicKey(k, nil); err == nil && slices.Contains(k.algs, alg) {
			fit.Keys = append(fit.Keys, k.key)
		}
	}
	if len(fit.Keys) == 0 {
		return nil, jwkset.ErrKeyNotFound
	}
	return fit, nil
}

// freshness notes when a fetched key set was stored.
type freshness struct {
	jwkset.Storage
	stale *atomic.Bool
}

// KeyReplaceAll is called once for each key set fetched and understood.
func (f *freshness) KeyReplaceAll(ctx context.Context, keys []jwkset.JWK) error {
	err := f.Storage.KeyReplaceAll(ctx, keys)
	f.stale.Store(err != nil)
	return err
}
