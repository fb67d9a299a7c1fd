package auth

import (
	"unicode/utf8"

	"github.com/busbar-ws/busbar/hub"
)

// maxName bounds user ids, tenants and device names, in bytes.
const maxName = 1024

func validName(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s)
}

func sameIdentity(a, b *hub.Identity) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.UserID == b.UserID && a.Tenant == b.Tenant && a.Admin == b.Admin && a.Expires.Equal(b.Expires)
}
