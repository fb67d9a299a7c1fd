// Package demo serves Busbar's demo page: a page without a build step that signs in with a session token,
// shows what the WebSocket delivers, and publishes. It is for trying a server out, not for production use.
package demo

import (
	"net/http"
	"strconv"
)

// DefaultWebSocketPort is the WebSocket's port when the API is on its default port (docs/protocol.md, beginning).
const DefaultWebSocketPort = 4322

// Options says what the page must know of the server that it belongs to.
type Options struct {
	// WebSocketPort is the TCP port of the WebSocket, on the host that the page was asked for.
	// 0 means DefaultWebSocketPort.
	WebSocketPort int
}

// Handler serves the page at /demo and its parts below /demo/. It answers every other path with 404, takes
// GET and HEAD only, needs no credentials and gives away nothing but the WebSocket's port. It is safe from
// any goroutine.
func Handler(opts Options) http.Handler {
	port := opts.WebSocketPort
	if port == 0 {
		port = DefaultWebSocketPort
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo", func(w http.ResponseWriter, r *http.Request) {
		serveAsset(w, "index.html")
	})
	mux.HandleFunc("GET /demo/{$}", func(w http.ResponseWriter, r *http.Request) {
		// Browsers carry the fragment, and so the token, across a redirect.
		http.Redirect(w, r, "/demo", http.StatusMovedPermanently)
	})
	mux.HandleFunc("GET /demo/config.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"ws_port":` + strconv.Itoa(port) + "}\n"))
	})
	mux.HandleFunc("GET /demo/{asset}", func(w http.ResponseWriter, r *http.Request) {
		serveAsset(w, r.PathValue("asset"))
	})
	return withHeaders(mux, port)
}
