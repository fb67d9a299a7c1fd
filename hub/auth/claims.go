package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub"
)

// identity reads the claims of a verified token. A claim of a wrong type is a bad token:
// a tenant that can't be read must not become "no tenant".
func (j *JWT) identity(claims jwt.MapClaims) (*hub.Identity, error) {
	user, ok := text(claims[j.opts.UserClaim])
	if !ok {
		return nil, &hub.Refusal{Cause: hub.CauseUserID, Detail: "the user claim is neither a string nor a number"}
	}
	tenant, ok := text(claims[j.opts.TenantClaim])
	if !ok {
		return nil, &hub.Refusal{Cause: hub.CauseTenant, UserID: user, Detail: "the tenant claim is neither a string nor a number"}
	}
	id := &hub.Identity{UserID: user, Tenant: tenant}
	if j.opts.AdminClaim != "" {
		id.Admin = claims[j.opts.AdminClaim] == true
	}
	for _, name := range []string{"nbf", "iat"} { // the library's own check takes a time beyond int64 for one long past
		if n, ok := claims[name].(json.Number); ok {
			if seconds, err := n.Float64(); err != nil || seconds > maxSeconds {
				return nil, &hub.Refusal{Cause: hub.CauseNotYetValid, UserID: user, Detail: name}
			}
		}
	}
	exp, err := claims.GetExpirationTime()
	if err != nil {
		return nil, &hub.Refusal{Cause: hub.CauseMalformed, UserID: user, Detail: "exp isn't a number"}
	}
	if exp != nil {
		// With the leeway, or a connection let in by it would end at once.
		id.Expires = exp.Add(j.opts.Leeway)
	}
	return id, nil
}

// maxSeconds is the largest time that a claim may name: no float64 holds all whole numbers above it.
const maxSeconds = 1 << 53

// text takes a string, or a number as it was written; what is absent is "".
func text(claim any) (string, bool) {
	switch v := claim.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	default:
		return "", false
	}
}

// whyUnverified says why a token isn't known to be anybody's, or nothing when its signature is
// good. What such a token claims may be anything, so that only its header is told of.
func (j *JWT) whyUnverified(t *jwt.Token, err error) *hub.Refusal {
	switch {
	case errors.Is(err, errCrit):
		return &hub.Refusal{Cause: hub.CauseCrit}
	case errors.Is(err, errUnknownKID):
		return &hub.Refusal{Cause: hub.CauseUnknownKID, Detail: fmt.Sprint(t.Header["kid"])}
	case errors.Is(err, errBadKID), errors.Is(err, jwt.ErrTokenMalformed):
		return &hub.Refusal{Cause: hub.CauseMalformed}
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return nil
	// errNoKey, an algorithm that nobody knows, and one that isn't allowed.
	case errors.Is(err, jwt.ErrTokenUnverifiable), !slices.Contains(j.algs, t.Method.Alg()):
		return &hub.Refusal{Cause: hub.CauseAlgorithm, Detail: fmt.Sprint(t.Header["alg"])}
	}
	return &hub.Refusal{Cause: hub.CauseSignature}
}

// whyInvalid says what is wrong with the claims of a token whose signature is good.
func (j *JWT) whyInvalid(claims jwt.MapClaims, err error) *hub.Refusal {
	user, _ := text(claims[j.opts.UserClaim])
	why := &hub.Refusal{UserID: user}
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		why.Cause = hub.CauseExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		why.Cause, why.Detail = hub.CauseNotYetValid, "nbf"
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		why.Cause, why.Detail = hub.CauseNotYetValid, "iat"
	case errors.Is(err, jwt.ErrInvalidType):
		why.Cause, why.Detail = hub.CauseMalformed, "a registered claim isn't of its type"
	case claims["exp"] == nil && !j.opts.AllowNoExp:
		why.Cause = hub.CauseNoExp
	case j.opts.Issuer != "" && claims["iss"] != j.opts.Issuer:
		why.Cause, why.Detail = hub.CauseIssuer, fmt.Sprint(claims["iss"])
	default:
		why.Cause, why.Detail = hub.CauseAudience, fmt.Sprint(claims["aud"])
	}
	return why
}
