package auth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

func fuzzedJWT(f *testing.F) *auth.JWT {
	f.Helper()
	file := filepath.Join(f.TempDir(), "key")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		f.Fatal(err)
	}
	j, err := auth.NewJWT(auth.JWTOptions{KeyFile: file, AdminClaim: "admin", CacheEntries: 1000, Log: quiet})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { j.Close() })
	return j
}

// signed signs any bytes as if they were claims.
func signed(payload []byte) string { return signedWith(`{"alg":"HS256","typ":"JWT"}`, payload) }

func signedWith(header string, payload []byte) string {
	enc := base64.RawURLEncoding
	head := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString(payload)
	sig, err := jwt.SigningMethodHS256.Sign(head, secret)
	if err != nil {
		panic(err)
	}
	return head + "." + enc.EncodeToString(sig)
}

// A signed token whose JSON can be read in two ways opens nothing, and a name that is written
// otherwise is another name.
func TestJWTIsReadInOneWay(t *testing.T) {
	j := newJWT(t, auth.JWTOptions{KeyFile: keyFile(t, string(secret)), AdminClaim: "admin"})
	for _, claims := range []string{
		`{"sub":"u","exp":4102444800,"admin":false,"admin":true}`,
		`{"sub":"u","exp":4102444800,"admin":false,"\u0061dmin":true}`,
		`{"sub":"u","exp":4102444800,"sub":"v"}`,
		`{"sub":"u","exp":4102444800,"tenant":"t","tenant":null}`,
		`{"sub":"u","exp":5,"exp":4102444800}`,
		`{"sub":"u","exp":4102444800,"realm":{"a":1,"a":2}}`,
		`{"sub":"u","exp":4102444800}{"admin":true}`,
		`{"sub":"u","exp":4102444800} x`,
		`{"sub":"\ud83d","exp":4102444800}`,
		"{\"sub\":\"u\xff\",\"exp\":4102444800}",
		`{"sub":"u","exp":null}`, `{"sub":"u","EXP":4102444800}`, `{"SUB":"u","exp":4102444800}`,
	} {
		unauthorized(t, j, signed([]byte(claims)))
	}
	good := []byte(`{"sub":"u","exp":4102444800}`)
	for _, header := range []string{
		`{"alg":"HS256","alg":"HS256"}`, `{"alg":"none","alg":"HS256"}`, `{"alg":"HS256","\u0061lg":"HS256"}`, `{"alg":"HS256"}{}`,
		`{"ALG":"HS256"}`, "{\"alg\":\"HS256\",\"x\":\"\xff\"}",
	} {
		unauthorized(t, j, signedWith(header, good))
	}
	for _, claims := range []string{
		`{"sub":"u","exp":4102444800,"Admin":true,"ADMIN":true,"Sub":"v","Tenant":"t"}`,
		`{"sub":"u","exp":4102444800,"admin":"true"}`, `{"sub":"u","exp":4102444800,"admin":1}`, `{"sub":"u","exp":4102444800,"admin":null}`,
	} {
		if id := authenticate(t, j, signed([]byte(claims))); id.Admin || id.UserID != "u" || id.Tenant != "" {
			t.Errorf("%s became %+v", claims, id)
		}
	}
}

// Whoever holds the key may claim anything: what is no user, no tenant or no time is refused,
// and the rest is taken as it is. Nobody is an admin but by true.
func FuzzJWTClaims(f *testing.F) {
	j := fuzzedJWT(f)
	for _, claims := range []string{
		`{"sub":"u","exp":4102444800}`, `{"sub":7,"exp":4102444800,"tenant":"t","admin":true}`, `{"sub":"u","exp":4102444800,"admin":"true"}`,
		`{"sub":"u"}`, `{"sub":"u","exp":1}`, `{"sub":"u","exp":"4102444800"}`, `{"sub":"u","exp":1e400}`, `{"sub":"u","exp":-1e18}`, `{"sub":["u"],"exp":4102444800}`,
		`{"sub":"u","tenant":{},"exp":4102444800}`, `{"sub":"u","sub":"v","exp":4102444800}`, `{"sub":"","exp":4102444800}`, `{"exp":4102444800,"admin":true}`,
		`{"sub":"u","exp":4102444800,"admin":false,"admin":true}`, `{"sub":"u","exp":4102444800,"Admin":true}`, `{"sub":"u","exp":4102444800}{"admin":true}`,
		`{"sub":"\ud83d","exp":4102444800}`, `{"sub":"u","exp":4102444800,"\u0065xp":5}`,
		`{"sub":"u","exp":4102444800,"nbf":4102444800}`, `{"sub":"u","exp":4102444800,"nbf":"x"}`, `[]`, `null`, `{`, ``, "{\"sub\":\"\xff\",\"exp\":4102444800}",
	} {
		f.Add([]byte(claims))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		id, err := j.Authenticate(context.Background(), signed(payload))
		if err != nil {
			if id != nil || !errors.Is(err, hub.ErrUnauthorized) {
				t.Fatalf("%q: %+v, %v", payload, id, err)
			}
			return
		}
		d := json.NewDecoder(bytes.NewReader(payload))
		d.UseNumber()
		var c map[string]any
		if err := d.Decode(&c); err != nil {
			t.Fatalf("%q was taken for %+v: %v", payload, id, err)
		}
		checkClaim(t, "sub", c["sub"], id.UserID)
		checkClaim(t, "tenant", c["tenant"], id.Tenant)
		if id.Admin != (c["admin"] == true) || (id.UserID == "" && !id.Admin) {
			t.Fatalf("%q was taken for %+v", payload, id)
		}
		if !id.Expires.After(time.Now().Add(-time.Second)) {
			t.Fatalf("%q lets somebody in until %v", payload, id.Expires)
		}
	})
}

func checkClaim(t *testing.T, name string, claim any, got string) {
	t.Helper()
	want := ""
	switch v := claim.(type) {
	case nil:
	case string:
		want = v
	case json.Number:
		want = v.String()
	default:
		t.Fatalf("a %s of %v was taken for %q", name, claim, got)
	}
	if got != want {
		t.Fatalf("a %s of %v was taken for %q", name, claim, got)
	}
}

// A token is only good if it was signed: one that isn't a signed one, letter for letter, opens nothing.
func FuzzJWTToken(f *testing.F) {
	j := fuzzedJWT(f)
	good := signed([]byte(`{"sub":"u","exp":4102444800}`))
	head, rest, _ := strings.Cut(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	for _, token := range []string{good, good[:len(good)-1] + "N", good + "\n", "\r" + good, good + "=", good + "A", head, "..", none + "." + rest, none + "." + strings.Split(rest, ".")[0] + ".", strings.ToUpper(good), "a.b.c", "", "\x00"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := j.Authenticate(context.Background(), token)
		// encoding/base64 passes over line ends; those before the signature are signed, as text.
		same := token == good || strings.NewReplacer("\r", "", "\n", "").Replace(token) == good && strings.HasPrefix(token, good[:strings.LastIndexByte(good, '.')+1])
		if (err == nil) != same || (id == nil) != (err != nil) {
			t.Fatalf("%q: %+v, %v", token, id, err)
		}
	})
}
