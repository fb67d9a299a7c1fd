package auth_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

var everyAlgorithm = []struct {
	alg jwt.SigningMethod
	key string // "" = the secret
}{
	{jwt.SigningMethodHS256, ""}, {jwt.SigningMethodHS384, ""}, {jwt.SigningMethodHS512, ""},
	{jwt.SigningMethodRS256, "RSA"}, {jwt.SigningMethodRS384, "RSA"}, {jwt.SigningMethodRS512, "RSA"},
	{jwt.SigningMethodPS256, "RSA"}, {jwt.SigningMethodPS384, "RSA"}, {jwt.SigningMethodPS512, "RSA"},
	{jwt.SigningMethodES256, "P-256"}, {jwt.SigningMethodES384, "P-384"}, {jwt.SigningMethodES512, "P-521"},
	{jwt.SigningMethodEdDSA, "Ed25519"},
}

func private(name string) any {
	if name == "" {
		return secret
	}
	return generated()[name]
}

// docs/protocol.md section 1: every algorithm's tokens resolve to an identity, by key file and, where
// the key is public, by key set.
func TestJWTAlgorithms(t *testing.T) {
	defaults := []string{"HS256", "RS256", "ES256", "EdDSA"}
	for _, c := range everyAlgorithm {
		t.Run(c.alg.Alg(), func(t *testing.T) {
			file := keyFile(t, string(secret)+"\n")
			if c.key != "" {
				file = publicPEM(t, c.key)
			}
			options := []auth.JWTOptions{{KeyFile: file}}
			if c.key != "" {
				keys := &keyServer{}
				keys.set(0, jwk("k1", c.key))
				options = append(options, auth.JWTOptions{JWKSURL: serve(t, keys.ServeHTTP)})
			}
			for _, o := range options {
				if !slices.Contains(defaults, c.alg.Alg()) {
					o.Algorithms = []string{c.alg.Alg()}
				}
				j := newJWT(t, o)
				token := sign(t, c.alg, private(c.key), "k1", claims(nil))
				if _, ok := j.Cached(token); ok {
					t.Error("known before it was verified")
				}
				id := authenticate(t, j, token)
				if again, ok := j.Cached(token); !ok || again != id || id.UserID != "u1" {
					t.Errorf("%+v, cached %+v", id, again)
				}
				// Not the last digit: some of its bits mean nothing.
				i := strings.LastIndexByte(token, '.') + 5
				other := "A"
				if token[i] == 'A' {
					other = "B"
				}
				unauthorized(t, j, token[:i]+other+token[i+1:])
				j.Close()
			}
		})
	}
}

// RFC 8725 section 2.1: the algorithm is the key's, not the token's.
func TestJWTAlgorithmConfusion(t *testing.T) {
	all := make([]string, len(everyAlgorithm))
	for i, c := range everyAlgorithm {
		all[i] = c.alg.Alg()
	}
	for _, name := range []string{"RSA", "P-256", "P-384", "Ed25519"} {
		file := publicPEM(t, name)
		text, err := os.ReadFile(file)
		must(t, err)
		der, err := x509.MarshalPKIXPublicKey(generated()[name].Public())
		must(t, err)
		keys := &keyServer{}
		symmetric := map[string]string{"kid": "sym", "kty": "oct", "k": base64.RawURLEncoding.EncodeToString(secret)}
		keys.set(0, jwk("k1", name), symmetric)
		for where, o := range map[string]auth.JWTOptions{
			"key file": {KeyFile: file, Algorithms: all},
			"key set":  {JWKSURL: serve(t, keys.ServeHTTP), Algorithms: all},
		} {
			j := newJWT(t, o)
			for _, alg := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
				for _, guess := range [][]byte{text, []byte(strings.TrimSpace(string(text))), der, secret, {}} {
					for _, kid := range []string{"k1", "sym", ""} {
						unauthorized(t, j, sign(t, alg, guess, kid, claims(nil)))
					}
				}
			}
			unauthorized(t, j, sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "k1", claims(nil)))
			for _, c := range everyAlgorithm {
				if c.key != name && c.key != "" {
					unauthorized(t, j, sign(t, c.alg, private(c.key), "k1", claims(nil)))
				}
			}
			if t.Failed() {
				t.Fatalf("believed with the %s of %s", where, name)
			}
			j.Close()
		}
	}
}

func TestJWTClaims(t *testing.T) {
	now := time.Now()
	base := auth.JWTOptions{KeyFile: keyFile(t, string(secret)), AdminClaim: "adm"}
	strict, lenient := base, base
	strict.Issuer, strict.Audience, strict.UserClaim, strict.TenantClaim = "iss1", "aud1", "uid", "org"
	lenient.AllowNoExp, lenient.Leeway, lenient.AdminClaim = true, time.Minute, ""
	exp := now.Add(time.Hour).Truncate(time.Second)
	for _, c := range []struct {
		name   string
		opts   auth.JWTOptions
		claims jwt.MapClaims
		want   *hub.Identity // nil = unauthorized
	}{
		{"tenant", base, jwt.MapClaims{"exp": exp.Unix(), "tenant": "t1"}, &hub.Identity{UserID: "u1", Tenant: "t1", Expires: exp}},
		{"number as user", base, jwt.MapClaims{"exp": exp.Unix(), "sub": int64(9007199254740993)}, &hub.Identity{UserID: "9007199254740993", Expires: exp}},
		{"admin", base, jwt.MapClaims{"exp": exp.Unix(), "adm": true}, &hub.Identity{UserID: "u1", Admin: true, Expires: exp}},
		{"admin without user", base, jwt.MapClaims{"exp": exp.Unix(), "adm": true, "sub": nil}, &hub.Identity{Admin: true, Expires: exp}},
		{"admin as text", base, jwt.MapClaims{"exp": exp.Unix(), "adm": "true"}, &hub.Identity{UserID: "u1", Expires: exp}},
		{"admin not asked for", lenient, jwt.MapClaims{"exp": nil, "": true, "adm": true}, &hub.Identity{UserID: "u1"}},
		{"no user", base, jwt.MapClaims{"sub": nil}, nil},
		{"empty user", base, jwt.MapClaims{"sub": ""}, nil},
		{"user is a list", base, jwt.MapClaims{"sub": []string{"u1"}}, nil},
		{"tenant is an object", base, jwt.MapClaims{"tenant": jwt.MapClaims{"a": 1}}, nil},
		{"long user", base, jwt.MapClaims{"sub": strings.Repeat("u", 1025)}, nil},
		{"expired", base, jwt.MapClaims{"exp": now.Unix() - 1}, nil},
		{"expired within leeway", lenient, jwt.MapClaims{"exp": now.Unix() - 30}, &hub.Identity{UserID: "u1", Expires: time.Unix(now.Unix()+30, 0)}},
		{"expired beyond leeway", lenient, jwt.MapClaims{"exp": now.Unix() - 90}, nil},
		{"no expiry", base, jwt.MapClaims{"exp": nil}, nil},
		{"no expiry, allowed", lenient, jwt.MapClaims{"exp": nil}, &hub.Identity{UserID: "u1"}},
		{"expiry as text", lenient, jwt.MapClaims{"exp": "never"}, nil},
		{"not yet valid", base, jwt.MapClaims{"nbf": now.Unix() + 600}, nil},
		{"own claims", strict, jwt.MapClaims{"exp": exp.Unix(), "iss": "iss1", "aud": []string{"x", "aud1"}, "uid": "u2", "org": "o2"}, &hub.Identity{UserID: "u2", Tenant: "o2", Expires: exp}},
		{"wrong issuer", strict, jwt.MapClaims{"iss": "iss2", "aud": "aud1", "uid": "u2"}, nil},
		{"no issuer", strict, jwt.MapClaims{"aud": "aud1", "uid": "u2"}, nil},
		{"wrong audience", strict, jwt.MapClaims{"iss": "iss1", "aud": "aud2", "uid": "u2"}, nil},
		{"no audience", strict, jwt.MapClaims{"iss": "iss1", "uid": "u2"}, nil},
	} {
		j := newJWT(t, c.opts)
		id, err := j.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, secret, "", claims(c.claims)))
		switch {
		case c.want == nil:
			unauthorized(t, j, sign(t, jwt.SigningMethodHS256, secret, "", claims(c.claims)))
			if t.Failed() {
				t.Fatal(c.name)
			}
		case err != nil || id.UserID != c.want.UserID || id.Tenant != c.want.Tenant || id.Admin != c.want.Admin || !id.Expires.Equal(c.want.Expires):
			t.Errorf("%s: %+v, %v; want %+v", c.name, id, err, c.want)
		}
	}
}

func TestJWTNonsense(t *testing.T) {
	j := newJWT(t, auth.JWTOptions{KeyFile: keyFile(t, string(secret))})
	for _, token := range []string{"", ".", "..", "a.b.c", "e30.e30.", strings.Repeat("a", 100_000), "\x00.\xff.\n"} {
		unauthorized(t, j, token)
	}
}

// publicDER is a SubjectPublicKeyInfo of an algorithm.
func publicDER(t *testing.T, algorithm asn1.ObjectIdentifier, key string) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{pkix.AlgorithmIdentifier{Algorithm: algorithm}, asn1.BitString{Bytes: []byte(key), BitLength: 8 * len(key)}})
	must(t, err)
	return der
}

// certificate is one that its own key has signed.
func certificate(t *testing.T) []byte {
	t.Helper()
	own := generated()["Ed25519"]
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, own.Public(), own)
	must(t, err)
	return der
}

// What an editor or a shell puts around a secret doesn't refuse tokens in silence, whether the
// issuer's secret has it or not. A binary secret is taken as it is.
func TestJWTSecretWithSpaceAround(t *testing.T) {
	claims := jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	text, binary := string(secret), "\x00\xff"+string(secret)
	for _, c := range []struct {
		name, file  string
		good, bad   []string
		wantWarning bool
	}{
		{"nothing", text, []string{text}, []string{text + "\n"}, false},
		{"one line end", text + "\n", []string{text}, []string{text + "\n"}, false},
		{"one line end of Windows", text + "\r\n", []string{text}, nil, false},
		{"two line ends", text + "\n\n", []string{text, text + "\n"}, []string{text + "\n\n"}, true},
		{"a space", text + " ", []string{text, text + " "}, []string{text + "  "}, true},
		{"a space and a line end", text + " \n", []string{text, text + " "}, nil, true},
		{"a space in front", " " + text, []string{text, " " + text}, nil, true},
		{"a byte order mark", "\ufeff" + text + "\n", []string{text, "\ufeff" + text}, nil, true},
		{"binary, ending in a space", binary + " ", []string{binary + " "}, []string{binary}, false},
	} {
		var log bytes.Buffer
		j, err := auth.NewJWT(auth.JWTOptions{KeyFile: keyFile(t, c.file), Log: slog.New(slog.NewTextHandler(&log, nil))})
		must(t, err)
		defer j.Close()
		for _, list := range []struct {
			secrets []string
			good    bool
		}{{c.good, true}, {c.bad, false}} {
			for _, key := range list.secrets {
				token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key))
				must(t, err)
				if _, err := j.Authenticate(t.Context(), token); (err == nil) != list.good {
					t.Errorf("%s: signed with %q: %v", c.name, key, err)
				}
			}
		}
		if warned := strings.Contains(log.String(), "byte order mark"); warned != c.wantWarning || strings.Contains(log.String(), text) {
			t.Errorf("%s: log %q", c.name, log.String())
		}
	}
}

func TestJWTKeyFileErrors(t *testing.T) {
	rsaDER, err := x509.MarshalPKCS8PrivateKey(generated()["RSA"])
	must(t, err)
	weakDER, err := x509.MarshalPKIXPublicKey(generated()["weak"].Public())
	must(t, err)
	edDER, err := x509.MarshalPKIXPublicKey(generated()["Ed25519"].Public())
	must(t, err)
	type faulty struct{ file, says string }
	files := []faulty{
		{t.TempDir() + "/missing", "no such file"},
		{t.TempDir(), "is a directory"},
		{keyFile(t, ""), "0 bytes"},
		{keyFile(t, "topsecret-too-short\n"), "19 bytes"},
		{keyFile(t, strings.Repeat("topsecret", 10_000)), "over"},
		{keyFile(t, "-----BEGIN PUBLIC KEY-----\ntopsecret\n"+strings.Repeat("A", 64)), "damaged"},
		{keyFile(t, " x\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "can't be read"},
		{pemFile(t, "PRIVATE KEY", rsaDER), "private key"},
		{pemFile(t, "PUBLIC KEY", weakDER), "1024 bits"},
		{pemFile(t, "CERTIFICATE", edDER), "certificate"},
		{pemFile(t, "DH PARAMETERS", edDER), "DH PARAMETERS"},
		{keyFile(t, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPl9bHZ1b8 somebody"), "SSH"},
		{keyFile(t, `{"kty":"oct","k":"topsecrettopsecrettopsecrettopsecrettopsecret"}`), "JSON"},
	}
	// Ed25519's key may end in bytes that look like a line end. Go doesn't know the others.
	var ends [][]byte
	for _, last := range []string{"\r", "\n", "\r\n", "\n\n"} {
		ends = append(ends, []byte(string(edDER[:len(edDER)-len(last)])+last))
	}
	pss := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	ed448 := asn1.ObjectIdentifier{1, 3, 101, 113}
	weak := generated()["weak"].Public().(*rsa.PublicKey)
	for _, der := range append(ends, edDER, weakDER, x509.MarshalPKCS1PublicKey(weak), certificate(t),
		publicDER(t, pss, "key"), publicDER(t, ed448, strings.Repeat("k", 57))) {
		for _, more := range []string{"", "\n", "\r\n", "\n\n", " "} {
			files = append(files, faulty{keyFile(t, string(der)+more), "DER"})
		}
		armour := string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: der}))
		lines := strings.TrimSuffix(strings.TrimPrefix(armour, "-----BEGIN X-----\n"), "-----END X-----\n")
		one := base64.StdEncoding.EncodeToString(der)
		for _, text := range []string{lines, one, strings.TrimRight(one, "="), " " + one + "\r\n"} {
			files = append(files, faulty{keyFile(t, text), "base64"})
		}
	}
	for _, c := range files {
		_, err := auth.NewJWT(auth.JWTOptions{KeyFile: c.file})
		oneLine(t, err, c.says)
		oneLine(t, err, c.file)
		if strings.Contains(err.Error(), "topsecret") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	for _, text := range []string{strings.Repeat("0", 64), base64.StdEncoding.EncodeToString(secret)} { // DER begins with 0; base64
		newJWT(t, auth.JWTOptions{KeyFile: keyFile(t, text)})
	}
	good := keyFile(t, string(secret))
	for _, o := range []auth.JWTOptions{
		{},
		{KeyFile: good, JWKSURL: "http://x"},
		{KeyFile: good, Algorithms: []string{"none"}},
		{KeyFile: good, Algorithms: []string{"RS256"}},
		{KeyFile: publicPEM(t, "P-384")},
		{KeyFile: good, Leeway: -1},
		{JWKSURL: "file:///etc/passwd"},
		{JWKSURL: "http://x", Algorithms: []string{"HS256"}},
	} {
		_, err := auth.NewJWT(o)
		oneLine(t, err, "")
	}
}

func TestJWTKeySetErrors(t *testing.T) {
	answer := func(status int, body string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); w.Write([]byte(body)) })
	}
	other := answer(200, `{"keys":[]}`)
	for name, url := range map[string]string{
		"404":      answer(404, ""),
		"not JSON": answer(200, "<html>"),
		"no keys":  other,
		"twice":    answer(200, `{"keys":[],"keys":[`+with(t, "good", "P-256", nil)+`]}`),
		"redirect": serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusFound) }),
		"huge":     answer(200, `{"x":"`+strings.Repeat("x", 2<<20)+`","keys":[]}`),
		"nobody":   "http://127.0.0.1:1",
	} {
		_, err := auth.NewJWT(auth.JWTOptions{JWKSURL: strings.Replace(url, "http://", "http://me:p4ssword@", 1) + "/keys?k3y", Log: quiet})
		oneLine(t, err, "/keys")
		if strings.Contains(err.Error(), "p4ssword") || strings.Contains(err.Error(), "k3y") {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
}

// A new key is fetched when a token names it; a key that was withdrawn stops counting.
func TestJWTKeyRotation(t *testing.T) {
	keys := &keyServer{}
	keys.set(0, jwk("old", "P-256"))
	o := auth.JWTOptions{JWKSURL: serve(t, keys.ServeHTTP), CacheTTL: time.Millisecond}
	j := newJWT(t, o)
	old := sign(t, jwt.SigningMethodES256, private("P-256"), "old", claims(nil))
	authenticate(t, j, old)
	keys.set(0, jwk("new", "Ed25519"))
	authenticate(t, j, sign(t, jwt.SigningMethodEdDSA, private("Ed25519"), "new", claims(nil)))
	eventually(t, "the withdrawn key's token leaves the cache", func() bool { _, ok := j.Cached(old); return !ok })
	unauthorized(t, j, old)
	// Invented key ids cause no storm of fetches, and nobody waits for them.
	before := keys.count()
	for i := range 50 {
		unauthorized(t, j, sign(t, jwt.SigningMethodES256, private("P-256"), "invented"+strings.Repeat("x", i), claims(nil)))
	}
	if n := keys.count() - before; n > 1 {
		t.Errorf("%d fetches for invented key ids", n)
	}
}

func TestJWTKeySetRefresh(t *testing.T) {
	keys := &keyServer{}
	keys.set(0, jwk("k1", "P-256"))
	j := newJWT(t, auth.JWTOptions{JWKSURL: serve(t, keys.ServeHTTP), RefreshInterval: 20 * time.Millisecond, CacheTTL: time.Millisecond})
	token := sign(t, jwt.SigningMethodES256, private("P-256"), "k1", claims(nil))
	authenticate(t, j, token)
	keys.set(500)
	seen := keys.count()
	eventually(t, "refreshes fail", func() bool { return keys.count() > seen+2 })
	authenticate(t, j, sign(t, jwt.SigningMethodES256, private("P-256"), "k1", claims(jwt.MapClaims{"n": 1})))
	// The key may be one that couldn't be fetched: no reason to call the token bad.
	unanswered(t, j, sign(t, jwt.SigningMethodEdDSA, private("Ed25519"), "k2", claims(nil)))
	keys.set(0, jwk("k2", "Ed25519"))
	eventually(t, "the set is fetched again", func() bool {
		_, err := j.Authenticate(t.Context(), sign(t, jwt.SigningMethodEdDSA, private("Ed25519"), "k2", claims(nil)))
		return err == nil
	})
	eventually(t, "the withdrawn key stops counting", func() bool { _, err := j.Authenticate(t.Context(), token); return err != nil })
}
