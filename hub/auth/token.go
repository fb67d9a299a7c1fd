package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

const (
	maxSessionToken = 512 // bytes; Busbar's own are 43
	idLen           = 16  // hex digits of a session's id
	minIDLen        = 8
)

// newToken returns 256 random bits, base64url without padding.
func newToken() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// SessionID is a name for a session that may be shown and logged: the start of its
// token's SHA-256, in hex.
func SessionID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])[:idLen]
}
