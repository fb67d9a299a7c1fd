// Package demo serves Busbar's demo page: a page that signs in with a session token, shows what the WebSocket
// delivers, and publishes. It is for trying a server out, not for production use.
package demo

import (
	"cmp"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"

	"github.com/busbar-ws/busbar/internal/webpage"
)

//go:embed assets/*.html assets/*.css assets/*.js
var assets embed.FS

// page may connect to any WebSocket: a proxy in front of the server's may have any name, which its visitor types in.
// No address of one is taken from a link, which could have a page with a kept token present it to somebody else.
func page() *webpage.Page {
	parts, _ := fs.Sub(assets, "assets") // the name is valid: no error
	return &webpage.Page{Parts: parts, Prefix: "/demo/", Connect: " ws: wss:"}
}

// DefaultWebSocketPort is the WebSocket's port when the API is on its default port (docs/protocol.md, beginning).
const DefaultWebSocketPort = 4322

// Options says what the page must know of the server that it belongs to.
type Options struct {
	// WebSocketPort is the TCP port of the WebSocket, on the host that the page was asked for.
	// 0 means DefaultWebSocketPort.
	WebSocketPort int
	// Auth is where tokens are from: sessions, which is the default, jwt, http, none, or sessions-db for somebody else's
	// sessions.
	Auth string
}

// Handler serves the page at /demo and its parts below /demo/. It gives away nothing but the WebSocket's port, and by
// what clients sign in.
func Handler(opts Options) http.Handler {
	port := opts.WebSocketPort
	if port == 0 {
		port = DefaultWebSocketPort
	}
	return page().Handler("/demo", func(mux *http.ServeMux) {
		mux.HandleFunc("GET /demo/{$}", func(w http.ResponseWriter, r *http.Request) {
			// Browsers carry the fragment, and so the token, across a redirect.
			http.Redirect(w, r, "/demo", http.StatusMovedPermanently)
		})
		mux.HandleFunc("GET /demo/config.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"ws_port": port, "auth": cmp.Or(opts.Auth, "sessions")})
		})
	})
}
