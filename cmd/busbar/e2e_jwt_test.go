//go:build !race && !racedaemon

package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const jwtSecret = "a secret of more than thirty-two bytes"

func signed(t *testing.T, secret string, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// docs/protocol.md section 1 with -auth jwt: the token's claims are the identity, and its end is the connection's.
func TestJWT(t *testing.T) {
	t.Parallel()
	key := makeFile(t, filepath.Join(t.TempDir(), "key"), jwtSecret+"\n", 0o600)
	d := startDaemon(t, "-auth", "jwt", "-jwt-key", key, "-jwt-issuer", "shop", "-jwt-admin-claim", "root", "-jwt-leeway", "1s")
	claims := func(more jwt.MapClaims) jwt.MapClaims {
		all := jwt.MapClaims{"sub": "alice", "tenant": "acme", "iss": "shop", "exp": time.Now().Add(time.Hour).Unix()}
		maps.Copy(all, more)
		maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
		return all
	}
	for _, way := range []string{"header", "subprotocol"} {
		c := startGoClient(t, d.url(""), signed(t, jwtSecret, claims(nil)), way)
		c.waitEvent(soon, "open")
		c.send(`{"type":"topic","topic":"t"}`) // not a presence: the one before it may be leaving still
		if m := waitType(c, "topic"); m.From != "alice" {
			t.Errorf("by %s: a message from %q", way, m.From)
		}
		c.terminate()
	}
	for name, token := range map[string]string{
		"another key":    signed(t, strings.Repeat("x", 40), claims(nil)),
		"another issuer": signed(t, jwtSecret, claims(jwt.MapClaims{"iss": "other"})),
		"ended":          signed(t, jwtSecret, claims(jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()})),
		"no end":         signed(t, jwtSecret, claims(jwt.MapClaims{"exp": nil})),
		"no token":       "",
		"no JWT":         "abc",
	} {
		t.Run(name, func(t *testing.T) { waitClose(t, startGoClient(t, d.url(""), token, "subprotocol"), 1008) })
	}
	waitClose(t, d.connect(signed(t, jwtSecret, claims(jwt.MapClaims{"exp": time.Now().Add(2 * time.Second).Unix()}))), 1008)

	lenient := startDaemon(t, "-auth", "jwt", "-jwt-key", key, "-jwt-allow-no-exp")
	lenient.connect(signed(t, jwtSecret, claims(jwt.MapClaims{"exp": nil})))
	lenient.connect(signed(t, jwtSecret, claims(jwt.MapClaims{"exp": time.Now().Add(-time.Second).Unix()}))) // within -jwt-leeway

	admin := signed(t, jwtSecret, claims(jwt.MapClaims{"root": true}))
	body := `{"entity":"Todo","row_id":"1","kind":"insert"}`
	if r := d.call("POST", "/v1/changes", admin, body); r.status != 200 {
		t.Errorf("an admin by claim publishes: %d %s", r.status, r.body)
	}
	if r := d.call("POST", "/v1/changes", signed(t, jwtSecret, claims(nil)), body); r.status != 403 {
		t.Errorf("a user publishes: %d %s", r.status, r.body)
	}
	if r := d.call("POST", "/v1/sessions", d.admin, `{"user_id":"u"}`); r.status != 409 {
		t.Errorf("a session without a session store: %d %s", r.status, r.body)
	}
}

// docs/protocol.md section 1 with -auth jwt: the keys may be at a URL. One that goes from there opens nothing any
// more within -jwt-refresh.
func TestJWTKeysFromAURL(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	kid := make(chan string, 1)
	kid <- "k1"
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := <-kid
		kid <- id
		fmt.Fprintf(w, `{"keys":[{"kty":"odd","kid":"k0"},{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":%q,"x":%q}]}`,
			id, base64.RawURLEncoding.EncodeToString(public))
	}))
	t.Cleanup(keys.Close)
	d := startDaemon(t, "-auth", "jwt", "-jwt-jwks", keys.URL, "-jwt-refresh", "1s")
	eventually(t, "the odd key that is left out in the log", func() bool { return strings.Contains(d.log.String(), "kid=k0") })
	token := func(kid string) string {
		j := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()})
		j.Header["kid"] = kid
		text, err := j.SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	c := d.connect(token("k1"))
	c.send(`{"type":"presence"}`)
	if m := waitType(c, "presence"); m.From != "alice" {
		t.Errorf("presence from %q", m.From)
	}
	waitClose(t, startGoClient(t, d.url(""), token("k2"), "header"), 1008)
	<-kid
	kid <- "k3"
	eventually(t, "the key that is gone opens nothing", func() bool { return d.call("GET", "/api/sync/pull", token("k1"), "").status == 401 })
	d.connect(token("k3"))
}
