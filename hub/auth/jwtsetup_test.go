package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub/auth"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// generated keys are shared by the tests: RSA keys take a while.
var generated = sync.OnceValue(func() map[string]crypto.Signer {
	r, _ := rsa.GenerateKey(rand.Reader, 2048)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"RSA": r, "weak": weak, "P-256": p256, "P-384": p384, "P-521": p521, "Ed25519": ed}
})

func pemFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	return keyFile(t, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func keyFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func publicPEM(t *testing.T, name string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(generated()[name].Public())
	must(t, err)
	return pemFile(t, "PUBLIC KEY", der)
}

// claims of a good token, with changes; nil removes one.
func claims(change jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range change {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func sign(t *testing.T, alg jwt.SigningMethod, key any, kid string, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(alg, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	must(t, err)
	return s
}

func newJWT(t *testing.T, o auth.JWTOptions) *auth.JWT {
	t.Helper()
	o.Log = quiet
	j, err := auth.NewJWT(o)
	must(t, err)
	t.Cleanup(func() { j.Close() })
	return j
}

// keyServer serves a key set that tests may change.
type keyServer struct {
	mu     sync.Mutex
	keys   []map[string]string
	status int
	asked  int
}

func (s *keyServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.status != 0 {
		w.WriteHeader(s.status)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"keys": s.keys})
}

func (s *keyServer) set(status int, keys ...map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.keys = status, keys
}

func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// jwk writes a public key as RFC 7517 and 8037 say.
func jwk(kid, name string) map[string]string {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := generated()[name].Public().(type) {
	case *rsa.PublicKey:
		return map[string]string{"kid": kid, "kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		b, _ := k.Bytes() // 4, x, y
		half := (len(b) - 1) / 2
		return map[string]string{"kid": kid, "kty": "EC", "crv": name, "x": b64(b[1 : 1+half]), "y": b64(b[1+half:])}
	case ed25519.PublicKey:
		return map[string]string{"kid": kid, "kty": "OKP", "crv": name, "x": b64(k)}
	}
	return nil
}
