package auth

import (
	"errors"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// keyRing is the keys that are believed at one time. It is immutable.
type keyRing struct{ keys []namedKey }

// What find says of a token for which the ring has no key. Another ring may have one.
var (
	errUnknownKID = errors.New("no key has the token's kid")
	errNoKey      = errors.New("no key is for the token's algorithm")
)

// What find says of a token that no key would help.
var (
	errCrit   = errors.New("the token asks for an extension")
	errBadKID = errors.New("the token's kid isn't a string")
)

// find is the jwt.Keyfunc: the keys that may have signed a token. The algorithm is the key's and
// not the token's (RFC 8725 section 2.1).
func (r *keyRing) find(t *jwt.Token) (any, error) {
	// RFC 7515 section 4.1.11: what crit names has to be understood, nothing of which is, and it may
	// be neither empty nor malformed. RFC 7797 section 6: b64 changes what is signed, and needs crit.
	if _, there := t.Header["crit"]; there {
		return nil, errCrit
	}
	if b64, there := t.Header["b64"]; there && b64 != true {
		return nil, errCrit
	}
	value, there := t.Header["kid"]
	kid, named := value.(string)
	if there && !named {
		return nil, errBadKID
	}
	var fit jwt.VerificationKeySet
	known := false
	for _, k := range r.keys {
		// A key without a kid may be any token's, and a token without one any key's.
		if named && k.kid != "" && k.kid != kid {
			continue
		}
		known = true
		if slices.Contains(k.algs, t.Method.Alg()) {
			fit.Keys = append(fit.Keys, k.key.key)
		}
	}
	switch {
	case len(fit.Keys) > 0:
		return fit, nil
	case named && !known:
		return nil, errUnknownKID
	}
	return nil, errNoKey
}

// lacks reports whether a key of old isn't in r any more.
func (r *keyRing) lacks(old *keyRing) bool {
	return slices.ContainsFunc(old.keys, func(k namedKey) bool { return !slices.ContainsFunc(r.keys, k.same) })
}
