package demo

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, target string) *http.Response {
	t.Helper()
	return request(t, http.MethodGet, target, "localhost:4321")
}

func request(t *testing.T, method, target, host string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	w := httptest.NewRecorder()
	Handler(Options{}).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

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
		{http.MethodGet, "/demo/package.json", http.StatusNotFound},
		{http.MethodGet, "/demo/..%2fdemo.go", http.StatusNotFound},
		{http.MethodGet, "/demo/a/b", http.StatusNotFound},
		{http.MethodGet, "/other", http.StatusNotFound},
	}
	for _, tt := range tests {
		r := request(t, tt.method, tt.target, "localhost:4321")
		if r.StatusCode != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, r.StatusCode, tt.status)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", tt.method, tt.target, name, got, want)
			}
		}
		if !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'none'; ") {
			t.Errorf("%s %s: no strict Content-Security-Policy", tt.method, tt.target)
		}
	}
}

// docs/protocol.md, beginning: the WebSocket is on the API's port + 1, and both are configurable.
func TestConfigNamesTheWebSocketPort(t *testing.T) {
	for port, want := range map[int]int{0: 4322, 9000: 9000} {
		w := httptest.NewRecorder()
		Handler(Options{WebSocketPort: port}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/demo/config.json", nil))
		var config struct {
			Port int `json:"ws_port"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &config); err != nil {
			t.Fatalf("reading config.json: %v", err)
		}
		if config.Port != want {
			t.Errorf("port %d: ws_port is %d, want %d", port, config.Port, want)
		}
		if policy := w.Header().Get("Content-Security-Policy"); strings.Contains(policy, "ws://example.com:9000") != (port == 9000) {
			t.Errorf("port %d: policy is %q", port, policy)
		}
	}
}

var (
	inPage   = regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	inModule = regexp.MustCompile(`(?m)^(?:import|export) .*?from "([^"]*)"|\bimport\("([^"]*)"\)`)
	external = regexp.MustCompile(`(?i:\b(?:https?|wss?):?//[a-z0-9]|["'(]//[a-z0-9])|@import|\burl\(`)
	markup   = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|\son[a-z]+=|style="`)
)

func TestEveryPartOfThePageIsServed(t *testing.T) {
	seen := map[string]bool{}
	queue := []string{"/demo"}
	for len(queue) > 0 {
		target := queue[0]
		queue = queue[1:]
		if seen[target] {
			continue
		}
		seen[target] = true
		r := get(t, target)
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") == "" {
			t.Errorf("%s: status %d, Content-Type %q", target, r.StatusCode, r.Header.Get("Content-Type"))
		}
		text := body(t, r)
		for _, m := range inPage.FindAllStringSubmatch(text, -1) {
			queue = append(queue, m[1])
		}
		for _, m := range inModule.FindAllStringSubmatch(text, -1) {
			queue = append(queue, "/demo/"+strings.TrimPrefix(m[1]+m[2], "./"))
		}
	}
	entries, err := assets.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "index.html" && !seen["/demo/"+e.Name()] {
			t.Errorf("%s is embedded, and the page doesn't use it", e.Name())
		}
	}
}

func TestPageIsSelfContained(t *testing.T) {
	entries, err := assets.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := assets.ReadFile("assets/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		// An XML namespace is a name and not a place that anything is loaded from.
		shown := strings.ReplaceAll(string(text), `xmlns="http://www.w3.org/2000/svg"`, "")
		if m := external.FindString(shown); m != "" {
			t.Errorf("%s names an external resource: %q", e.Name(), m)
		}
		if m := markup.FindString(shown); m != "" {
			t.Errorf("%s puts markup or code together at run time, which the policy forbids: %q", e.Name(), m)
		}
	}
}
