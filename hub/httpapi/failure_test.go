package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5: who publishes while too much is buffered is told to come again.
func TestOverloadedIsTemporary(t *testing.T) {
	w := httptest.NewRecorder()
	writeFailure(w, failureOf(fmt.Errorf("publishing: %w", hub.ErrOverloaded)))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"code":"OVERLOADED"`) {
		t.Errorf("answered with %d %v %s", w.Code, w.Header(), w.Body)
	}
	if f := failureOf(errors.New("another")); f.status != http.StatusInternalServerError {
		t.Errorf("any other error is answered with %d", f.status)
	}
}
