package hub

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/hub/internal/trouble"
)

// Cause says in a word why a token was refused. The causes are the values of a metric's label, so
// that there are no others than these: whatever else an Authenticator names is counted as CauseOther.
type Cause string

// causes are all that there are.
var causes []Cause

func newCause(name Cause) Cause {
	causes = append(causes, name)
	return name
}

// The causes. Those up to CauseTenant are about what a token says of itself.
var (
	CauseNoToken     = newCause("no_token")
	CauseTooLong     = newCause("too_long")
	CauseMalformed   = newCause("malformed")
	CauseCrit        = newCause("crit") // it asks for an extension that isn't understood
	CauseAlgorithm   = newCause("algorithm")
	CauseUnknownKID  = newCause("unknown_kid")
	CauseSignature   = newCause("signature")
	CauseExpired     = newCause("expired")
	CauseNoExp       = newCause("no_exp")
	CauseNotYetValid = newCause("not_yet_valid")
	CauseIssuer      = newCause("issuer")
	CauseAudience    = newCause("audience")
	CauseUserID      = newCause("user_id") // missing, or none that a user may have
	CauseTenant      = newCause("tenant")

	CauseUnknownSession = newCause("unknown_session")
	CauseRevoked        = newCause("revoked") // while it was being looked up

	CauseService400 = newCause("service_said_400")
	CauseService401 = newCause("service_said_401")
	CauseService403 = newCause("service_said_403")
	CauseService404 = newCause("service_said_404")
	CauseService410 = newCause("service_said_410")
	CauseService422 = newCause("service_said_422")

	CauseOther = newCause("other")
)

// Refusal is an ErrUnauthorized that says why. It is immutable.
type Refusal struct {
	Cause Cause
	// UserID is whose token it is, where that is certain: what somebody claims without proof is not.
	UserID string
	// Detail may add what helps, such as the issuer that a token names. Never the token. Its
	// start is logged.
	Detail string
}

func (r *Refusal) Error() string { return "token refused: " + r.Cause.words() }

// Unwrap makes every refusal an ErrUnauthorized.
func (r *Refusal) Unwrap() error { return ErrUnauthorized }

func (c Cause) words() string { return strings.ReplaceAll(string(c), "_", " ") }

// invalidToken is the close reason for a token that was given and is no good. Without one it is
// ErrUnauthorized's text (docs/protocol.md section 1).
const invalidToken = "unauthorized: token invalid or expired"

// Identities that others would take for an admin, by what From would stamp, are refused whatever
// vouches for them.
var (
	noUserID       = &Refusal{Cause: CauseUserID, Detail: "it is empty"}
	reservedUserID = &Refusal{Cause: CauseUserID, UserID: ReservedUserID, Detail: "it is reserved for admins"}
)

// newRefused has a counter for each cause.
func newRefused() map[Cause]*atomic.Uint64 {
	m := make(map[Cause]*atomic.Uint64, len(causes))
	for _, c := range causes {
		m[c] = new(atomic.Uint64)
	}
	return m
}

// noteRefused counts a token that was refused with err, which is an ErrUnauthorized, and tells of it: each
// cause at most once in trouble.Interval, so that strangers can't fill the log and whoever sets
// authentication up sees the first of each.
func (h *Hub) noteRefused(now time.Time, token string, err error) {
	cause := CauseOther
	said, ok := errors.AsType[*Refusal](err)
	switch {
	case token == "":
		cause, said = CauseNoToken, nil
	case ok && h.refused[said.Cause] != nil:
		cause = said.Cause
	default:
		said = nil
	}
	h.refused[cause].Add(1)
	leftOut, ok := h.trouble.Admit(string(cause), now)
	if !ok {
		return
	}
	var args []any
	if said != nil && said.UserID != "" {
		args = append(args, "user_id", trouble.Shortened(said.UserID))
	}
	if said != nil && said.Detail != "" {
		args = append(args, "detail", trouble.Shortened(said.Detail))
	}
	trouble.Tell(h.opts.Logger, slog.LevelInfo, leftOut, "token refused: "+cause.words(), append(args, "cause", string(cause))...)
}

func (h *Hub) authRefused() map[string]uint64 {
	m := make(map[string]uint64, len(h.refused))
	for cause, n := range h.refused {
		m[string(cause)] = n.Load()
	}
	return m
}
