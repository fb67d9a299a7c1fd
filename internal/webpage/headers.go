package webpage

import (
	"net/http"
	"strings"
)

// withHeaders sets the headers that every answer has. They come first, so that errors and redirects have
// them as well.
func (p *Page) withHeaders(next http.Handler) http.Handler {
	policy := contentPolicy(p.Connect)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// contentPolicy lets the page load its own parts and call its own origin, and what else it may connect to;
// nothing else. Trusted Types make the browser itself refuse innerHTML.
func contentPolicy(connect string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self'",
		"connect-src 'self'" + connect,
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
	}, "; ")
}
