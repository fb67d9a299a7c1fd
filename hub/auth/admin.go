package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/busbar-ws/busbar/hub"
)

// admin is an Authenticator that knows one token more than next. Safe from any goroutine.
type admin struct {
	sum  [sha256.Size]byte
	id   *hub.Identity
	next hub.Authenticator
}

// WithAdmin answers the admin identity for token and asks a about every other. An empty
// token makes nobody an admin.
func WithAdmin(a hub.Authenticator, token string) hub.Authenticator {
	if token == "" {
		return a
	}
	return &admin{sum: sha256.Sum256([]byte(token)), id: &hub.Identity{Admin: true}, next: a}
}

func (a *admin) Cached(token string) (*hub.Identity, bool) {
	if a.is(token) {
		return a.id, true
	}
	return a.next.Cached(token)
}

func (a *admin) Authenticate(ctx context.Context, token string) (*hub.Identity, error) {
	if a.is(token) {
		return a.id, nil
	}
	return a.next.Authenticate(ctx, token)
}

// is compares sums, so that the time taken says nothing about the token, nor about its length.
func (a *admin) is(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], a.sum[:]) == 1
}
