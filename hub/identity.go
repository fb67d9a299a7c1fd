package hub

import (
	"context"
	"errors"
	"time"
)

// Identity is who a connection speaks for. It is immutable once it was handed to
// the hub, so it may be shared by every connection of one session and read from
// any goroutine.
type Identity struct {
	// UserID names the user, guests included. Empty, or ReservedUserID, only for an
	// admin: anybody else with it is refused.
	UserID string
	// Tenant is the tenant that the session belongs to, or empty.
	Tenant string
	// Admin is true for the admin token: every call is allowed, and relayed
	// messages are stamped "admin" when UserID is empty.
	Admin bool
	// Anonymous is true when UserID stands for strangers who have nothing to do with each
	// other: limits per user don't apply.
	Anonymous bool
	// Expires ends the connection with close code 1008. Zero means never.
	Expires time.Time
	// Token, when it isn't empty, is looked up again when Expires has come: what it stands
	// for may have been prolonged. It is a secret.
	Token string
}

// ReservedUserID is what an admin's messages are stamped with, and so no user's id. It is
// this word exactly: clients compare "from" as it is, so "Admin" is a user like any other.
const ReservedUserID = "admin"

// From is the name that the server stamps on what this identity has relayed.
func (id *Identity) From() string {
	if id.UserID == "" {
		return ReservedUserID
	}
	return id.UserID
}

// ErrUnauthorized is what an Authenticator returns for a token that is unknown,
// malformed, revoked or expired; a *Refusal is one that says why, for the log and the metrics.
// Any other error means that the question could not be answered (a database or service is down).
var ErrUnauthorized = errors.New("unauthorized: bearer token required")

// Authenticator turns bearer tokens into identities. Safe from any goroutine.
type Authenticator interface {
	// Cached answers from memory without blocking; it is called on event loops.
	// ok is false when the answer isn't known without asking elsewhere. A nil
	// identity with ok true is a token known to be bad. The empty token is a
	// token like any other.
	Cached(token string) (id *Identity, ok bool)

	// Authenticate may block until ctx ends; it never runs on an event loop. It
	// returns ErrUnauthorized (wrapped or not) for a bad token.
	Authenticate(ctx context.Context, token string) (*Identity, error)
}

// AuthenticatorFunc is an Authenticator that remembers nothing.
type AuthenticatorFunc func(ctx context.Context, token string) (*Identity, error)

// Cached never knows.
func (AuthenticatorFunc) Cached(string) (*Identity, bool) { return nil, false }

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, token string) (*Identity, error) {
	return f(ctx, token)
}
