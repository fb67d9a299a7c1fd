package auth

import (
	"encoding/json"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub"
)

// identity reads the claims of a verified token. A claim of a wrong type is a bad token:
// a tenant that can't be read must not become "no tenant".
func (j *JWT) identity(claims jwt.MapClaims) (*hub.Identity, error) {
	user, ok := text(claims[j.opts.UserClaim])
	if !ok {
		return nil, hub.ErrUnauthorized
	}
	tenant, ok := text(claims[j.opts.TenantClaim])
	if !ok {
		return nil, hub.ErrUnauthorized
	}
	id := &hub.Identity{UserID: user, Tenant: tenant}
	if j.opts.AdminClaim != "" {
		id.Admin = claims[j.opts.AdminClaim] == true
	}
	exp, err := claims.GetExpirationTime()
	if err != nil {
		return nil, hub.ErrUnauthorized
	}
	if exp != nil {
		// With the leeway, or a connection let in by it would end at once.
		id.Expires = exp.Add(j.opts.Leeway)
	}
	return id, nil
}

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
