package httpapi

import (
	"errors"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5, Reloading: lists are there also when they are empty, and errors are the caller's answer.
func TestReload(t *testing.T) {
	var done Reloaded
	var failed error
	s := start(t, func(_ *hub.Options, o *Options) { o.Reload = func() (Reloaded, error) { return done, failed } })
	if w := s.admin("POST", "/v1/reload", ""); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"changed":[],"files":[],"restart":[]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	done.Restart = []string{"listen"}
	if w := s.admin("POST", "/v1/reload", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"restart":["listen"]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	failed = errors.New("busbar.conf:1: max-per-ip: no number")
	s.wantError(s.admin("POST", "/v1/reload", ""), 400, "BAD_CONFIG")
	s.wantError(s.as(s.session("u", ""), "POST", "/v1/reload", ""), 403, "FORBIDDEN")
}

// While a reload hangs there is no other, and all else is served.
func TestReloadThatHangs(t *testing.T) {
	begun, let := make(chan struct{}), make(chan struct{})
	s := start(t, func(_ *hub.Options, o *Options) {
		o.Reload = func() (done Reloaded, err error) {
			close(begun)
			<-let
			return done, nil
		}
	})
	ended := make(chan int)
	go func() { ended <- s.admin("POST", "/v1/reload", "").Code }()
	<-begun
	for range 1000 { // more than there are places; each that waited would end the test
		s.wantError(s.admin("POST", "/v1/reload", ""), 503, "BUSY")
	}
	if w := s.admin("GET", "/v1/clients", ""); w.Code != 200 {
		t.Errorf("another call: %d %s", w.Code, w.Body)
	}
	close(let)
	if status := <-ended; status != 200 {
		t.Errorf("the reload itself: %d", status)
	}
}
