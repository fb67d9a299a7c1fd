// Package backend is what the examples need of an application's backend: it signs users in at Busbar, publishes, and
// serves a page. It is small so that it can be read; an application has its own.
package backend

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/busbar-ws/busbar/clients/js"
)

// Backend is one application's. It is safe from any goroutine.
type Backend struct {
	*http.ServeMux
	listen, api, websocket string
	admin                  string // the admin token
}

// New reads the flags: where Busbar is, its data directory, and where to serve the page.
func New() *Backend {
	b := &Backend{ServeMux: http.NewServeMux()}
	flag.StringVar(&b.listen, "listen", "127.0.0.1:8000", "where to serve the page")
	flag.StringVar(&b.api, "api", "http://127.0.0.1:4321", "Busbar's HTTP API")
	flag.StringVar(&b.websocket, "websocket", "", "Busbar's WebSocket, as the page sees it; by default port 4322 of the page's host")
	data := flag.String("data", "busbar-data", "Busbar's data directory, which has the admin token")
	flag.Parse()
	token, err := os.ReadFile(filepath.Join(*data, "admin-token"))
	if err != nil {
		log.Fatalf("%v: start busbar first, in the same folder", err)
	}
	b.admin = strings.TrimSpace(string(token))
	return b
}

// Call calls Busbar's API with a value as JSON, and reads the answer into another, unless that is nil.
func (b *Backend) Call(method, path string, value, answer any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, b.api+path, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+b.admin)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s %s", method, path, response.Status, text)
	}
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(text, answer)
}

// SignIn answers a page with a token for a user, and with the WebSocket's address.
func (b *Backend) SignIn(w http.ResponseWriter, r *http.Request, user string) {
	var session struct {
		Token string `json:"token"`
	}
	err := b.Call("POST", "/v1/sessions", map[string]any{"user_id": user, "ttl_seconds": 3600}, &session)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	websocket := b.websocket
	if websocket == "" {
		host := (&url.URL{Host: r.Host}).Hostname()
		websocket = "ws://" + net.JoinHostPort(host, "4322")
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"url": websocket, "token": session.Token})
}

// Serve serves the page, and the client that it uses, until the process ends.
func (b *Backend) Serve(page []byte) {
	b.Handle("GET /busbar.js", js.Handler())
	b.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	l, err := net.Listen("tcp", b.listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("open http://%s/\n", l.Addr())
	log.Fatal(http.Serve(l, b))
}
