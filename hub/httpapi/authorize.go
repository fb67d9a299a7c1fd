package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/busbar-ws/busbar/hub"
)

// bearerRejected is how Pylon's client learns that a token it keeps is worthless
// where the answer is 200 all the same.
const bearerRejected = "X-Pylon-Bearer-Rejected"

// call is a handler that returns what went wrong instead of writing it.
type call func(w http.ResponseWriter, r *http.Request) error

// open makes a handler of c without asking who calls.
func (a *api) open(c call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c(w, r); err != nil {
			f := failureOf(err)
			if f.status == http.StatusInternalServerError {
				a.Logger.Error("API call failed", "route", r.Pattern, "error", err)
			}
			writeFailure(w, f)
		}
	})
}

// visitor makes a handler of c, which anybody may call, of an address as many at a time as it
// has places for.
func (a *api) visitor(c call) http.Handler {
	return a.open(func(w http.ResponseWriter, r *http.Request) error {
		return a.in(calling, nil, c, w, r)
	})
}

// admin makes a handler of c that only an admin gets to.
func (a *api) admin(c call) http.Handler { return a.adminOnly(administering, c) }

// adminOnly is admin for one kind of places. Who it is comes first: a place that strangers
// could hold until they are known wouldn't be publishers' own.
func (a *api) adminOnly(k kind, c call) http.Handler {
	return a.open(func(w http.ResponseWriter, r *http.Request) error {
		if k == publishing && r.Context().Value(publisherKey{}) != nil {
			return c(w, r)
		}
		token := bearer(r)
		id, err := a.identify(w, r, token)
		switch {
		case err != nil:
			return err
		case token == "": // with -auth none that is somebody
			return unauthorized()
		case !id.Admin && !(k == publishing && a.mayPublish(token)):
			return newFailure(http.StatusForbidden, "FORBIDDEN", "this call needs the admin token")
		}
		if k == administering {
			audited(w, r, id)
		}
		return a.in(k, id, c, w, r)
	})
}

func (a *api) mayPublish(token string) bool { return a.MayPublish != nil && a.MayPublish(token) }

type publisherKey struct{}

// AsPublisher is for requests that didn't come over HTTP, from somebody who may publish, and nothing else, without the
// admin token. They need no place: whoever has them served bounds how many.
func AsPublisher(ctx context.Context) context.Context {
	return context.WithValue(ctx, publisherKey{}, true)
}

// WriteBusy answers a request for which there is no room.
func WriteBusy(w http.ResponseWriter) {
	writeFailure(w, busy("too many requests are being served, try again"))
}

// WriteInvalid answers a request in which a field is wrong.
func WriteInvalid(w http.ResponseWriter, field, message string) {
	writeFailure(w, invalidField(field, message))
}

// identify resolves a token, which may be empty. Its errors are failures: 401 for
// a bad token, 503 when there was no way to tell, or when too many tokens wait to be looked up.
func (a *api) identify(w http.ResponseWriter, r *http.Request, token string) (*hub.Identity, error) {
	id, err := a.hub.Authenticate(r.Context(), token, a.places.callerOf(r, nil).address)
	switch {
	case errors.Is(err, hub.ErrBusy):
		return nil, a.refuse(w, busy("too many tokens wait to be looked up, try again"))
	case err == nil && id != nil:
		return id, nil
	case err == nil || errors.Is(err, hub.ErrUnauthorized):
		if token == "" {
			return nil, unauthorized()
		}
		w.Header().Set(bearerRejected, "1")
		return nil, newFailure(http.StatusUnauthorized, "UNAUTHORIZED", "the token is invalid or expired")
	}
	return nil, newFailure(http.StatusServiceUnavailable, "AUTH_UNAVAILABLE", "the token could not be checked, try again")
}

func unauthorized() *failure {
	return newFailure(http.StatusUnauthorized, "UNAUTHORIZED", "a bearer token is required")
}

// bearer is the token of "Authorization: Bearer <token>", or empty. The scheme's name is
// case-insensitive (RFC 9110 section 11.1).
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
