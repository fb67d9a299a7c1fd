package wsproto

import "testing"

// docs/protocol.md section 1: the first entry of the form bearer.<percent-encoded token> that decodes.
func TestBearerProtocol(t *testing.T) {
	for _, c := range []struct{ name, list, entry, token string }{
		{"plain", "bearer.abc", "bearer.abc", "abc"},
		{"spaces around it", "chat ,\t bearer.abc \t, more", "bearer.abc", "abc"},
		{"escapes in any case", "bearer.a%2Fb%2fc%3D", "bearer.a%2Fb%2fc%3D", "a/b/c="},
		{"plus is a space", "bearer.a+b", "bearer.a+b", "a b"},
		{"an escaped plus", "bearer.a%2Bb", "bearer.a%2Bb", "a+b"},
		{"an escaped comma", "bearer.a%2Cb", "bearer.a%2Cb", "a,b"},
		{"escaped UTF-8", "bearer.%C3%A9", "bearer.%C3%A9", "é"},
		{"dots", "bearer.h.p.s", "bearer.h.p.s", "h.p.s"},
		{"the first of two", "bearer.a, bearer.b", "bearer.a", "a"},
		{"the first that decodes", "bearer.%zz, bearer.%ff, bearer., bearer.ok", "bearer.ok", "ok"},
		{"cut escape", "bearer.a%2", "", ""},
		{"cut after the percent sign", "bearer.a%", "", ""},
		{"escape with a sign", "bearer.%+1", "", ""},
		{"not UTF-8", "bearer.%c3", "", ""},
		{"bytes outside ASCII", "bearer.\xc3\xa9", "", ""},
		{"control character", "bearer.a\x01", "", ""},
		{"empty token", "bearer.", "", ""},
		{"another name", "xbearer.a, bearer, Bearer.a", "", ""},
		{"nothing", "", "", ""},
		{"commas", ",,", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			entry, token, ok := BearerProtocol([]byte(c.list))
			if entry != c.entry || token != c.token || ok != (c.entry != "") {
				t.Errorf("got %q %q %t, want %q %q", entry, token, ok, c.entry, c.token)
			}
		})
	}
}
