package auth

import (
	"encoding/base64"
	"strings"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

// readOneWay reports whether a token's header and claims are JSON that every reader takes for the
// same. golang-jwt reads with encoding/json, which takes the last of two claims and passes over
// what follows the value, where whoever signed it may have looked at the first (RFC 7515 4, RFC
// 7519 4). A token that isn't made of three parts it leaves to the parser.
func readOneWay(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return true
	}
	for _, part := range parts[:2] {
		text, err := base64.RawURLEncoding.DecodeString(part)
		var object map[string]any
		if err == nil && strictjson.Unmarshal(text, &object) != nil {
			return false
		}
	}
	return true
}
