package auth_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

// refusedFor fails unless the token is refused for that cause, the second time too.
func refusedFor(t *testing.T, a hub.Authenticator, token string, cause hub.Cause, user string) {
	t.Helper()
	for range 2 {
		_, err := a.Authenticate(t.Context(), token)
		var why *hub.Refusal
		if !errors.As(err, &why) || !errors.Is(err, hub.ErrUnauthorized) {
			t.Errorf("%v, want a refusal for %s", err, cause)
			return
		}
		if why.Cause != cause || why.UserID != user {
			t.Errorf("refused for %s, user %q; want %s, %q", why.Cause, why.UserID, cause, user)
		}
		if token != "" && strings.Contains(err.Error()+why.Detail, token) {
			t.Errorf("the token is in %+v", why)
		}
	}
}

// withHeader is a good token but for what its header has.
func withHeader(t *testing.T, header map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil))
	for k, v := range header {
		token.Header[k] = v
	}
	s, err := token.SignedString(secret)
	must(t, err)
	return s
}

func TestJWTSaysWhy(t *testing.T) {
	now := time.Now().Unix()
	j := newJWT(t, auth.JWTOptions{
		KeyFile: keyFile(t, string(secret)), Issuer: "shop", Audience: "busbar", Leeway: 30 * time.Second,
	})
	of := func(change jwt.MapClaims) string {
		c := claims(jwt.MapClaims{"iss": "shop", "aud": "busbar"})
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return sign(t, jwt.SigningMethodHS256, secret, "", c)
	}
	authenticate(t, j, of(nil))
	for _, skewed := range []jwt.MapClaims{{"exp": now - 20}, {"nbf": now + 20}, {"iat": now + 20}} {
		authenticate(t, j, of(skewed))
	}
	long := of(jwt.MapClaims{"more": strings.Repeat("x", 8<<10)})
	for _, c := range []struct {
		token string
		cause hub.Cause
		user  string
	}{
		{"", hub.CauseNoToken, ""},
		{long, hub.CauseTooLong, ""},
		{"abc", hub.CauseMalformed, ""},
		{"a.b.c", hub.CauseMalformed, ""},
		{withHeader(t, map[string]any{"kid": 7}), hub.CauseMalformed, ""},
		{withHeader(t, map[string]any{"kid": nil}), hub.CauseMalformed, ""},
		{withHeader(t, map[string]any{"alg": "none"}), hub.CauseAlgorithm, ""},
		{withHeader(t, map[string]any{"alg": "ES256K"}), hub.CauseAlgorithm, ""},
		{sign(t, jwt.SigningMethodHS384, secret, "", claims(nil)), hub.CauseAlgorithm, ""},
		{sign(t, jwt.SigningMethodHS256, []byte("another"), "", claims(nil)), hub.CauseSignature, ""},
		{of(jwt.MapClaims{"exp": now - 60}), hub.CauseExpired, "u1"},
		{of(jwt.MapClaims{"exp": nil}), hub.CauseNoExp, "u1"},
		{of(jwt.MapClaims{"exp": "tomorrow"}), hub.CauseMalformed, "u1"},
		{of(jwt.MapClaims{"nbf": now + 60}), hub.CauseNotYetValid, "u1"},
		{of(jwt.MapClaims{"iat": now + 60}), hub.CauseNotYetValid, "u1"},
		{of(jwt.MapClaims{"nbf": uint64(1) << 63}), hub.CauseNotYetValid, "u1"},
		{of(jwt.MapClaims{"iat": 1e300}), hub.CauseNotYetValid, "u1"},
		{of(jwt.MapClaims{"iss": "other"}), hub.CauseIssuer, "u1"},
		{of(jwt.MapClaims{"iss": nil}), hub.CauseIssuer, "u1"},
		{of(jwt.MapClaims{"aud": "other"}), hub.CauseAudience, "u1"},
		{of(jwt.MapClaims{"aud": nil}), hub.CauseAudience, "u1"},
		{of(jwt.MapClaims{"sub": nil}), hub.CauseUserID, ""},
		{of(jwt.MapClaims{"sub": []string{"u1"}}), hub.CauseUserID, ""},
		{of(jwt.MapClaims{"tenant": []string{"t1"}}), hub.CauseTenant, "u1"},
	} {
		t.Run(string(c.cause), func(t *testing.T) { refusedFor(t, j, c.token, c.cause, c.user) })
	}
}

// RFC 7515 section 4.1.11: what crit names has to be understood, and nothing of it is. RFC 7797:
// b64 changes what is signed.
func TestJWTCrit(t *testing.T) {
	j := newJWT(t, auth.JWTOptions{KeyFile: keyFile(t, string(secret))})
	for name, header := range map[string]map[string]any{
		"an extension":            {"crit": []string{"http://example.com/x"}, "http://example.com/x": true},
		"exp, which is known":     {"crit": []string{"exp"}, "exp": 4102444800},
		"empty":                   {"crit": []string{}},
		"null":                    {"crit": nil},
		"text":                    {"crit": "b64"},
		"b64":                     {"crit": []string{"b64"}, "b64": false},
		"b64 that is the default": {"crit": []string{"b64"}, "b64": true},
		"b64 without crit":        {"b64": false},
	} {
		t.Run(name, func(t *testing.T) { refusedFor(t, j, withHeader(t, header), hub.CauseCrit, "") })
	}
	authenticate(t, j, withHeader(t, map[string]any{"b64": true, "x": []string{"crit"}}))
}

func TestHTTPSaysWhy(t *testing.T) {
	status := 0
	h := callback(t, auth.HTTPOptions{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })})
	for want, cause := range map[int]hub.Cause{
		401: hub.CauseService401, 403: hub.CauseService403, 404: hub.CauseService404,
	} {
		status = want
		refusedFor(t, h, "token of "+string(cause), cause, "")
	}
	refusedFor(t, h, strings.Repeat("x", 10_000), hub.CauseTooLong, "")
}

func TestSessionsSayWhy(t *testing.T) {
	t.Parallel()
	s, err := auth.OpenSessions(filepath.Join(t.TempDir(), "busbar.db"), auth.SessionOptions{Log: quiet})
	must(t, err)
	defer s.Close()
	refusedFor(t, s, "nobody's", hub.CauseUnknownSession, "")
	refusedFor(t, s, strings.Repeat("x", 1000), hub.CauseTooLong, "")
	token, _, err := s.Create(t.Context(), "alice", "", time.Second, "")
	must(t, err)
	eventually(t, "the session ends", func() bool { _, err := s.Authenticate(t.Context(), token); return err != nil })
	refusedFor(t, s, token, hub.CauseExpired, "alice")
}
