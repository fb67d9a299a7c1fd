// Package js has the client for browsers (src/ beside it), for Go programs that serve it to their pages.
package js

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"net/http"
	"time"
)

// source is checked in, because go build can't run npm; a test compares it with what the sources make.
//
//go:embed dist/busbar.js
var source []byte

var etag = fmt.Sprintf(`"%x"`, sha256.Sum256(source))

// Handler serves the client as an ES module, whatever the path. Browsers keep it, and ask whether there is another one.
// It is safe from any goroutine.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(source))
	})
}
