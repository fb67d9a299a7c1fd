package httpapi

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

const (
	defaultSessionTTL = 30 * 24 * time.Hour
	// maxSessionSeconds keeps a time.Duration from overflowing.
	maxSessionSeconds = int64(math.MaxInt64 / time.Second)
)

// whoami is the answer of GET /api/auth/me. Pylon's client tells "nobody" by nulls.
type whoami struct {
	UserID   *string  `json:"user_id"`
	TenantID *string  `json:"tenant_id"`
	IsAdmin  bool     `json:"is_admin"`
	Roles    []string `json:"roles"`
}

// me is GET /api/auth/me. A bad token is nobody, as with Pylon, and is told by a header, so that
// the client forgets it.
func (a *api) me(w http.ResponseWriter, r *http.Request) error {
	answer := whoami{Roles: []string{}}
	if token := bearer(r); token != "" {
		id, err := a.identify(w, r, token)
		var f *failure
		switch {
		case err == nil:
			answer.UserID, answer.TenantID, answer.IsAdmin = orNull(id.UserID), orNull(id.Tenant), id.Admin
			if a.mayPublish(token) {
				answer.Roles = []string{"publisher"}
			}
		case !errors.As(err, &f) || f.status != http.StatusUnauthorized:
			return err
		}
	}
	return writeJSON(w, answer)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// createGuest is POST /api/auth/guest. Anybody may call it, so its rate is bounded, and pages
// of foreign origins are kept from it though they couldn't read the token.
func (a *api) createGuest(w http.ResponseWriter, r *http.Request) error {
	switch {
	case !a.Guests:
		return newFailure(http.StatusForbidden, "GUESTS_DISABLED", "this server has no guests (-guests)")
	case a.Sessions == nil:
		return sessionsDisabled()
	case !a.hub.Origins().Allow(r.Header.Get("Origin"), r.Host):
		return a.foreignOrigin(r.Header.Get("Origin"))
	case !a.guests.Allow():
		return newFailure(http.StatusTooManyRequests, "RATE_LIMITED", "too many new guests, try again")
	}
	token, user, err := a.Sessions.CreateGuest(r.Context())
	if err != nil {
		return a.sessionFailure(err)
	}
	return writeJSON(w, map[string]string{"token": token, "user_id": user})
}

// newSession is the body of POST /v1/sessions.
type newSession struct {
	UserID     string  `json:"user_id"`
	TenantID   *string `json:"tenant_id"`   // absent: none
	TTLSeconds *int64  `json:"ttl_seconds"` // absent: 30 days; 0: for ever
	Device     string  `json:"device"`
}

// createSession is POST /v1/sessions.
func (a *api) createSession(w http.ResponseWriter, r *http.Request) error {
	if a.Sessions == nil {
		return sessionsDisabled()
	}
	body, done, err := a.readJSON(w, r)
	if err != nil {
		return err
	}
	defer done()
	var s newSession
	if err := decodeBody(body, &s); err != nil {
		return err
	}
	ttl, err := s.ttl()
	if err != nil {
		return err
	}
	if s.UserID == "" {
		return invalidField("user_id", "must be a non-empty string")
	}
	if s.UserID == hub.ReservedUserID {
		return invalidField("user_id", "admin is reserved for admins, who need no session")
	}
	tenant := ""
	if s.TenantID != nil {
		if tenant = *s.TenantID; tenant == "" {
			return invalidField("tenant_id", "must be a non-empty string; leave it out for none")
		}
	}
	auditTarget(w, "user", s.UserID, "tenant", tenant)
	token, expires, err := a.Sessions.Create(r.Context(), s.UserID, tenant, ttl, s.Device)
	if err != nil {
		return a.sessionFailure(err)
	}
	auditTarget(w, "user", s.UserID, "tenant", tenant, "session", auth.SessionID(token))
	return writeJSON(w, createdSession{
		Token: token, UserID: s.UserID, TenantID: s.TenantID, ExpiresAt: unixOrZero(expires),
	})
}

// createdSession is the answer of POST /v1/sessions. ExpiresAt is in Unix seconds, 0 for never.
type createdSession struct {
	Token     string  `json:"token"`
	UserID    string  `json:"user_id"`
	TenantID  *string `json:"tenant_id"`
	ExpiresAt int64   `json:"expires_at"`
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func (s *newSession) ttl() (time.Duration, error) {
	switch {
	case s.TTLSeconds == nil:
		return defaultSessionTTL, nil
	case *s.TTLSeconds < 0 || *s.TTLSeconds > maxSessionSeconds:
		return 0, invalidField("ttl_seconds", "must be between 0 (never expires) and 292 years")
	}
	return time.Duration(*s.TTLSeconds) * time.Second, nil
}

// listSessions is GET /v1/sessions. There may be millions, so that they are sent as they are read.
func (a *api) listSessions(w http.ResponseWriter, r *http.Request) error {
	if a.Sessions == nil {
		return sessionsDisabled()
	}
	w.Header().Set("Content-Type", typeNDJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	lines, begun := json.NewEncoder(w), false
	for one, err := range a.Sessions.List(r.Context()) {
		if err != nil && !begun {
			return a.sessionFailure(err)
		}
		begun = true
		if err == nil {
			err = lines.Encode(one)
		}
		if err != nil { // part of the answer is out, or its caller has gone
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}

// revokeSession is DELETE /v1/sessions/{token}. The store tells the hub, which closes the
// session's connections, before Revoke returns.
func (a *api) revokeSession(w http.ResponseWriter, r *http.Request) error {
	if a.Sessions == nil {
		return sessionsDisabled()
	}
	auditTarget(w, "session", auth.SessionName(r.PathValue("token")))
	if err := a.Sessions.Revoke(r.Context(), r.PathValue("token")); err != nil {
		return a.sessionFailure(err)
	}
	return noContent(w)
}

// sessionFailure is the answer to an error of the session store.
func (a *api) sessionFailure(err error) error {
	switch {
	case errors.Is(err, auth.ErrNoSession):
		return newFailure(http.StatusNotFound, "NOT_FOUND", "there is no such session")
	case errors.Is(err, auth.ErrAmbiguous):
		return newFailure(http.StatusConflict, "AMBIGUOUS", err.Error())
	case errors.Is(err, auth.ErrBadSession):
		return newFailure(http.StatusBadRequest, "INVALID_FIELD", err.Error())
	case errors.Is(err, auth.ErrFull):
		return newFailure(http.StatusInsufficientStorage, "SESSIONS_FULL", "the session store has no room for another session")
	case errors.Is(err, auth.ErrReadOnly):
		return newFailure(http.StatusConflict, "SESSIONS_READ_ONLY", "the session store belongs to another program, which creates and revokes its sessions")
	}
	a.Logger.Warn("session store failed", "error", err)
	return newFailure(http.StatusServiceUnavailable, "SESSIONS_UNAVAILABLE", "the session store can't be used now, try again")
}

func sessionsDisabled() *failure {
	return newFailure(http.StatusConflict, "SESSIONS_DISABLED", "this server keeps no sessions (-auth)")
}
