package demo

import (
	"net/http"
	"strings"
	"testing"
)

func TestPolicyNamesTheSocketOfTheRequestsHost(t *testing.T) {
	tests := []struct{ host, want string }{
		{"localhost:4321", "connect-src 'self' ws://localhost:4322 wss://localhost:4322"},
		{"push.example.org", "connect-src 'self' ws://push.example.org:4322 wss://push.example.org:4322"},
		{"127.0.0.1:80", "connect-src 'self' ws://127.0.0.1:4322 wss://127.0.0.1:4322"},
		{"[::1]:4321", "connect-src 'self' ws: wss:"},
		{"[::1]", "connect-src 'self' ws: wss:"},
		{"", "connect-src 'self'"},
		{"x;script-src *:4321", "connect-src 'self'"},
		{"x *", "connect-src 'self'"},
		{"*", "connect-src 'self'"},
		{"a:b:c", "connect-src 'self'"},
	}
	for _, tt := range tests {
		policy := request(t, http.MethodGet, "/demo", tt.host).Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "; "+tt.want+"; base-uri") {
			t.Errorf("host %q: policy is %q, want in it %q", tt.host, policy, tt.want)
		}
	}
}

func TestPolicyAllowsNothingInline(t *testing.T) {
	policy := request(t, http.MethodGet, "/demo", "localhost:4321").Header.Get("Content-Security-Policy")
	for _, unsafe := range []string{"unsafe-inline", "unsafe-eval", "*", "data:", "http:", "https:"} {
		if strings.Contains(policy, unsafe) {
			t.Errorf("the policy has %s in it: %q", unsafe, policy)
		}
	}
}
