package demo

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/busbar-ws/busbar/internal/webpage/webpagetest"
)

func TestAnswers(t *testing.T) {
	tests := []struct {
		method, target string
		status         int
	}{
		{http.MethodGet, "/demo", http.StatusOK},
		{http.MethodHead, "/demo", http.StatusOK},
		{http.MethodGet, "/demo/", http.StatusMovedPermanently},
		{http.MethodGet, "/demo/main.js", http.StatusOK},
		{http.MethodGet, "/demo/config.json", http.StatusOK},
		{http.MethodPost, "/demo", http.StatusMethodNotAllowed},
		{http.MethodGet, "/demo/nothing.js", http.StatusNotFound},
		{http.MethodGet, "/demo/..%2fdemo.go", http.StatusNotFound},
		{http.MethodGet, "/demo/a/b", http.StatusNotFound},
		{http.MethodGet, "/other", http.StatusNotFound},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		Handler(Options{}).ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, nil))
		if w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
		if w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s %s: no Content-Security-Policy", tt.method, tt.target)
		}
	}
}

// docs/protocol.md, beginning: the WebSocket is on the API's port + 1, and both are configurable.
func TestConfigNamesTheWebSocketPort(t *testing.T) {
	for port, want := range map[int]int{0: 4322, 9000: 9000} {
		w := httptest.NewRecorder()
		Handler(Options{WebSocketPort: port}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/demo/config.json", nil))
		var config struct {
			Port int    `json:"ws_port"`
			Auth string `json:"auth"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &config); err != nil {
			t.Fatalf("reading config.json: %v", err)
		}
		if config.Port != want || config.Auth != "sessions" {
			t.Errorf("port %d: %+v, want %d and sessions", port, config, want)
		}
	}
}

func TestPage(t *testing.T) {
	webpagetest.EveryPartIsUsed(t, page(), Handler(Options{}), "/demo")
	webpagetest.SelfContained(t, page())
	webpagetest.Scripts(t, page().Parts)
}
