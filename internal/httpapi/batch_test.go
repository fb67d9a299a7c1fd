package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5: for a caller that has gone nothing of an NDJSON body is published.
func TestPostBatchWithoutItsCaller(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	leave()
	s := start(t, nil)
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/changes", strings.NewReader(strings.Repeat(deleteLine, 10)))
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Content-Type", typeNDJSON)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if e := s.wantError(w, 503, "UNAVAILABLE"); e.Applied == nil || *e.Applied != 0 || e.Line != 1 {
		t.Errorf("got %+v, want nothing applied", e)
	}
	if seq := s.hub.Stats().LastSeq; seq != 0 {
		t.Errorf("%d changes were published", seq)
	}
}

const deleteLine = `{"entity":"T","row_id":"1","kind":"delete","timestamp":"1Z"}` + "\n"

// failingLog takes one change of a call.
type failingLog struct {
	*hub.MemoryLog
	err error
}

func (l failingLog) Append(changes []hub.Change) ([]hub.Appended, error) {
	done, _ := l.MemoryLog.Append(changes[:1])
	return done, l.err
}

// What a change log can't store is told by status and code, and of an NDJSON body what it stored before.
func TestPostBatchToALogThatFails(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{hub.ErrLogFull, 507, "LOG_FULL"},
		{hub.ErrLogUnavailable, 503, "LOG_UNAVAILABLE"},
		{errors.New("something else"), 500, "INTERNAL"},
	} {
		t.Run(c.code, func(t *testing.T) {
			s := start(t, func(ho *hub.Options, _ *Options) {
				ho.Log = failingLog{hub.NewMemoryLog(0, 0), fmt.Errorf("on the way: %w", c.err)}
			})
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/changes", strings.NewReader(strings.Repeat(deleteLine, 3)))
			r.Header.Set("Authorization", "Bearer "+adminToken)
			r.Header.Set("Content-Type", typeNDJSON)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if e := s.wantError(w, c.status, c.code); e.Applied == nil || *e.Applied != 1 || e.Line != 2 {
				t.Errorf("got %+v, want one change applied", e)
			}
		})
	}
}
