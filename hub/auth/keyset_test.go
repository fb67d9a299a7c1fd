package auth_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// rawKeys serves a key set as it is written.
type rawKeys struct {
	mu     sync.Mutex
	set    string
	header http.Header
	asked  int
}

func (s *rawKeys) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	for k, v := range s.header {
		w.Header()[k] = v
	}
	io.WriteString(w, s.set)
}

func (s *rawKeys) serve(keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = `{"keys":[` + strings.Join(keys, ",") + `],"more":{}}`
}

func (s *rawKeys) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// with is a key set's entry for a generated key, with more members; nil removes one.
func with(t *testing.T, kid, name string, more map[string]any) string {
	t.Helper()
	m := map[string]any{}
	for k, v := range jwk(kid, name) {
		m[k] = v
	}
	for k, v := range more {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	must(t, err)
	return string(b)
}

func x5c(t *testing.T, name string) []string {
	t.Helper()
	own := generated()[name]
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, own.Public(), own)
	must(t, err)
	return []string{base64.StdEncoding.EncodeToString(der)}
}

// RFC 7517 sections 4 and 5: one odd key leaves out that key only, with a line that names it, at
// the start and at a refresh.
func TestOneOddKeyLeavesOutThatKeyOnly(t *testing.T) {
	t.Parallel()
	good := with(t, "good", "P-256", map[string]any{"use": "sig", "x5t": "unknown", "x5u": nil, "colour": []int{1}})
	token := sign(t, jwt.SigningMethodES256, private("P-256"), "good", claims(nil))
	for name, odd := range map[string]struct{ key, why string }{
		"unknown use":               {with(t, "odd", "RSA", map[string]any{"use": "tls"}), "use"},
		"use of a type":             {with(t, "odd", "RSA", map[string]any{"use": 7}), "use"},
		"for encryption":            {with(t, "odd", "RSA", map[string]any{"use": "enc"}), "use"},
		"key_ops":                   {with(t, "odd", "RSA", map[string]any{"key_ops": []string{"encrypt", "wrapKey"}}), "key_ops"},
		"unknown key_ops":           {with(t, "odd", "RSA", map[string]any{"key_ops": []string{"shake"}}), "key_ops"},
		"key_ops as text":           {with(t, "odd", "RSA", map[string]any{"key_ops": "verify"}), "key_ops"},
		"no key_ops":                {with(t, "odd", "RSA", map[string]any{"key_ops": []string{}}), "key_ops"},
		"x5c not base64":            {with(t, "odd", "RSA", map[string]any{"x5c": []string{"%"}}), "base64"},
		"x5c not DER":               {with(t, "odd", "RSA", map[string]any{"x5c": []string{"AAAA"}}), "certificate"},
		"x5c of another":            {with(t, "odd", "RSA", map[string]any{"x5c": x5c(t, "P-384")}), "X.509"},
		"unknown kty":               {`{"kty":"XYZ","kid":"odd"}`, "kty"},
		"no kty":                    {`{"kid":"odd"}`, "kty"},
		"unknown curve":             {with(t, "odd", "P-384", map[string]any{"crv": "P-999"}), "curve"},
		"curve that JWT lacks":      {`{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA","kid":"odd"}`, "curve"},
		"a key for agreement":       {`{"kty":"OKP","crv":"X25519","kid":"odd","x":"` + base64.RawURLEncoding.EncodeToString(make([]byte, 32)) + `"}`, "type"},
		"bad base64":                {with(t, "odd", "RSA", map[string]any{"n": "!!"}), "base64"},
		"not on the curve":          {with(t, "odd", "P-384", map[string]any{"x": "AAAA"}), "curve"},
		"nothing of a key":          {with(t, "odd", "RSA", map[string]any{"n": nil}), "parameters"},
		"weak":                      {with(t, "odd", "weak", nil), "1024 bits"},
		"huge exponent":             {with(t, "odd", "RSA", map[string]any{"e": strings.Repeat("_", 40)}), "can't be read"},
		"another algorithm":         {with(t, "odd", "RSA", map[string]any{"alg": "RSA-OAEP"}), "alg"},
		"algorithm of another type": {with(t, "odd", "RSA", map[string]any{"alg": "ES256"}), "alg"},
		"algorithm not allowed":     {with(t, "odd", "RSA", map[string]any{"alg": "PS512"}), "alg"},
		"symmetric":                 {`{"kty":"oct","kid":"odd","k":"` + base64.RawURLEncoding.EncodeToString(secret) + `"}`, "secret"},
		"private":                   {with(t, "odd", "RSA", map[string]any{"d": "AQAB"}), "private"},
		"a name twice":              {`{"kid":"odd","kty":"OKP","kty":"RSA"}`, "once"},
		"not UTF-8":                 {"{\"kid\":\"odd\",\"kty\":\"\xff\"}", "once"},
		"not an object":             {`"odd"`, "JSON object"},
		"null":                      {`null`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, when := range []string{"start", "refresh"} {
				keys := new(rawKeys)
				keys.serve(good)
				if when == "start" {
					keys.serve(odd.key, good)
				}
				var logged wstest.Text
				j, err := auth.NewJWT(auth.JWTOptions{
					JWKSURL: serve(t, keys.ServeHTTP), RefreshInterval: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&logged, nil)),
				})
				must(t, err)
				defer j.Close()
				keys.serve(odd.key, good)
				before := keys.count()
				eventually(t, "the set is read", func() bool { return keys.count() > before+1 })
				authenticate(t, j, token)
				j.Close()
				text := logged.String()
				if n := strings.Count(text, "left out"); n != 1 || !strings.Contains(text, odd.why) {
					t.Errorf("at the %s, %d lines for a key that was left out:\n%s", when, n, text)
				}
				if !strings.Contains(text, "kid=odd") && !strings.Contains(text, `kid="number 1"`) {
					t.Errorf("the line doesn't name the key:\n%s", text)
				}
			}
		})
	}
}

// A key that isn't for signatures opens nothing, and neither does a key with another algorithm
// than its own.
func TestKeysForSomethingElse(t *testing.T) {
	for name, more := range map[string]map[string]any{
		"enc":               {"use": "enc"},
		"no verify":         {"key_ops": []string{"sign"}},
		"another algorithm": {"alg": "RS512"},
	} {
		keys := new(rawKeys)
		keys.serve(with(t, "k1", "RSA", more), with(t, "k2", "P-256", nil))
		j := newJWT(t, auth.JWTOptions{JWKSURL: serve(t, keys.ServeHTTP)})
		for _, kid := range []string{"k1", "k2", ""} {
			unauthorized(t, j, sign(t, jwt.SigningMethodRS256, private("RSA"), kid, claims(nil)))
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
	keys := new(rawKeys)
	keys.serve(with(t, "k1", "RSA", map[string]any{"use": "sig", "key_ops": []string{"verify", "shake"}, "x5c": x5c(t, "RSA")}),
		with(t, "k2", "Ed25519", map[string]any{"x5c": x5c(t, "Ed25519")}))
	j := newJWT(t, auth.JWTOptions{JWKSURL: serve(t, keys.ServeHTTP)})
	authenticate(t, j, sign(t, jwt.SigningMethodRS256, private("RSA"), "k1", claims(nil)))
	authenticate(t, j, sign(t, jwt.SigningMethodEdDSA, private("Ed25519"), "k2", claims(nil)))
}

// A token that no known key verifies has the set fetched: rotation takes no longer than that,
// with a kid, without, and with the old one's.
func TestRotationTakesOneToken(t *testing.T) {
	for name, kids := range map[string][2]string{"another kid": {"a", "b"}, "the same kid": {"a", "a"}, "no kid": {"", ""}} {
		for kind, next := range map[string]struct {
			key string
			alg jwt.SigningMethod
		}{"same type": {"P-384", jwt.SigningMethodES384}, "another type": {"RSA", jwt.SigningMethodRS256}} {
			t.Run(name+", "+kind, func(t *testing.T) {
				keys := &keyServer{}
				keys.set(0, jwk(kids[0], "P-256"))
				j := newJWT(t, auth.JWTOptions{JWKSURL: serve(t, keys.ServeHTTP), RefreshInterval: time.Hour, Algorithms: []string{"ES256", "ES384", "RS256"}})
				old := sign(t, jwt.SigningMethodES256, private("P-256"), kids[0], claims(nil))
				authenticate(t, j, old)
				keys.set(0, jwk(kids[1], next.key))
				// All who come at once wait for the one fetch.
				var all sync.WaitGroup
				for i := range 10 {
					token := sign(t, next.alg, private(next.key), kids[1], claims(jwt.MapClaims{"n": i}))
					all.Go(func() {
						if _, err := j.Authenticate(t.Context(), token); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if n := keys.count(); n != 2 {
					t.Errorf("the set was fetched %d times, want 2", n)
				}
				unauthorized(t, j, old) // at once, and from the cache neither
			})
		}
	}
}

// Tokens that anybody can invent cause one fetch in a while, also when it hangs, and keep nobody
// with a good token waiting.
func TestInventedTokensWhileTheKeysHang(t *testing.T) {
	keys := &keyServer{}
	keys.set(0, jwk("k1", "P-256"))
	hang, asked := make(chan struct{}), make(chan struct{}, 100)
	var first sync.Once
	j := newJWT(t, auth.JWTOptions{JWKSURL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		wait := true
		if first.Do(func() { wait = false }); wait {
			<-hang
		}
		keys.ServeHTTP(w, r)
	})})
	<-asked
	var all sync.WaitGroup
	busy := make(chan error, 200)
	for i := range cap(busy) {
		token := sign(t, jwt.SigningMethodEdDSA, private("Ed25519"), "k2", claims(jwt.MapClaims{"n": i}))
		all.Go(func() {
			_, err := j.Authenticate(t.Context(), token)
			busy <- err
		})
	}
	<-asked
	for range cap(busy) - 16 { // the others wait
		if err := <-busy; err == nil || !strings.Contains(err.Error(), "too many tokens wait for the JWT key set") {
			t.Errorf("%v, where so many wait that nobody can tell", err)
			break
		}
	}
	authenticate(t, j, sign(t, jwt.SigningMethodES256, private("P-256"), "k1", claims(nil)))
	close(hang)
	all.Wait()
	if n := len(asked); n != 0 {
		t.Errorf("%d fetches more", n)
	}
}

// A key that is withdrawn stops counting at the next refresh, whatever is cached; an empty set
// withdraws all of them. One that can't be fetched, or isn't a set, withdraws none.
func TestWithdrawnKeys(t *testing.T) {
	t.Parallel()
	keys := new(rawKeys)
	keys.serve(with(t, "k1", "P-256", nil), with(t, "k2", "RSA", nil))
	j := newJWT(t, auth.JWTOptions{JWKSURL: serve(t, keys.ServeHTTP), RefreshInterval: 20 * time.Millisecond})
	one := sign(t, jwt.SigningMethodES256, private("P-256"), "k1", claims(nil))
	two := sign(t, jwt.SigningMethodRS256, private("RSA"), "k2", claims(nil))
	authenticate(t, j, one)
	authenticate(t, j, two)
	fetchedTwice := func() {
		t.Helper()
		before := keys.count()
		eventually(t, "the set is fetched", func() bool { return keys.count() > before+1 })
	}
	for _, set := range []string{`{"keys":`, `{"keys":{}}`, `{}`, `[]`, `{"Keys":[]}`, `{"keys":null}`, `{"keys":[` + strings.Repeat(`{},`, 300) + `{}]}`} {
		keys.mu.Lock()
		keys.set = set
		keys.mu.Unlock()
		fetchedTwice()
		for _, token := range []string{one, two} {
			if _, known := j.Cached(token); !known {
				t.Errorf("%.20s lost what was cached", set)
			}
			authenticate(t, j, token)
		}
	}
	keys.serve(with(t, "k2", "RSA", nil))
	eventually(t, "the withdrawn key's token is out of the cache", func() bool { _, known := j.Cached(one); return !known })
	unauthorized(t, j, one)
	authenticate(t, j, two)
	keys.serve()
	eventually(t, "so is the other's", func() bool { _, known := j.Cached(two); return !known })
	unauthorized(t, j, two)
}
