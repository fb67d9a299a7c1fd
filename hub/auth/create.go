package auth

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// ErrBadSession is wrapped by Create's errors about its arguments.
var ErrBadSession = errors.New("bad session")

// Create adds a session and returns its token, which is shown nowhere else. ttl is
// rounded up to whole seconds; 0 = never expires, and expires is the zero time then.
// user is required; tenant and device may be empty. Each may have 1,024 bytes.
func (s *Sessions) Create(ctx context.Context, user, tenant string, ttl time.Duration, device string) (token string, expires time.Time, err error) {
	switch {
	case s.opts.ReadOnly:
		return "", expires, ErrReadOnly
	case user == "":
		return "", expires, fmt.Errorf("%w: user is empty", ErrBadSession)
	case user == hub.ReservedUserID:
		return "", expires, fmt.Errorf("%w: the user id %q is reserved for admins, who need no session", ErrBadSession, user)
	case ttl < 0:
		return "", expires, fmt.Errorf("%w: ttl %v is negative", ErrBadSession, ttl)
	case !validName(user) || !validName(tenant) || !validName(device):
		return "", expires, fmt.Errorf("%w: user, tenant and device may have %d bytes of UTF-8 each", ErrBadSession, maxName)
	}
	one := Session{UserID: user, Tenant: tenant, Device: device, Created: time.Now()}
	if ttl > 0 {
		one.Expires = time.Unix(one.Created.Add(ttl).Add(time.Second-1).Unix(), 0)
	}
	token = newToken()
	if err := s.store.add(ctx, s.store.key(token), &one); err != nil {
		return "", time.Time{}, err
	}
	return token, one.Expires, nil
}

// CreateGuest adds a session for a new user id, guest_ and 128 random bits in hex. It
// lasts for SessionOptions.GuestTTL. How many guests there may be is the caller's to
// limit; sessions that have ended are removed by and by.
func (s *Sessions) CreateGuest(ctx context.Context) (token, user string, err error) {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	user = "guest_" + hex.EncodeToString(b[:])
	token, _, err = s.Create(ctx, user, "", s.opts.GuestTTL, "")
	return token, user, err
}
