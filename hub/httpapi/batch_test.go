package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
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

// failingLog answers for so many changes of a call, and with an error.
type failingLog struct {
	*hub.MemoryLog
	takes int
	err   error
}

func (l failingLog) Append(changes []hub.Change) ([]hub.Appended, error) {
	done, _ := l.MemoryLog.Append(slices.Repeat(changes, 5)[:l.takes])
	return done, l.err
}

// What a change log can't store is told by status and code, and of an NDJSON body what it stored before.
func TestPostBatchToALogThatFails(t *testing.T) {
	other := errors.New("something else")
	for _, c := range []struct {
		takes         int
		err           error
		status        int
		code          string
		line, applied int
	}{
		{1, hub.ErrLogFull, 507, "LOG_FULL", 2, 1},
		{1, hub.ErrLogUnavailable, 503, "LOG_UNAVAILABLE", 2, 1},
		{1, other, 500, "INTERNAL", 2, 1},
		{0, other, 500, "INTERNAL", 1, 0},
		// What no log should answer.
		{3, other, 500, "INTERNAL", 3, 3},
		{5, other, 500, "INTERNAL", 3, 3},
		{0, nil, 500, "INTERNAL", 1, 0},
		{2, nil, 500, "INTERNAL", 3, 2},
		{5, nil, 500, "INTERNAL", 3, 3},
	} {
		t.Run(fmt.Sprintf("%d and %v", c.takes, c.err), func(t *testing.T) {
			s := start(t, func(ho *hub.Options, _ *Options) { ho.Log = failingLog{hub.NewMemoryLog(0, 0), c.takes, c.err} })
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/changes", strings.NewReader(strings.Repeat(deleteLine, 3)))
			r.Header.Set("Authorization", "Bearer "+adminToken)
			r.Header.Set("Content-Type", typeNDJSON)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if e := s.wantError(w, c.status, c.code); e.Applied == nil || *e.Applied != c.applied || e.Line != c.line {
				t.Errorf("got %+v, want %d changes applied", e, c.applied)
			}
			if n := s.hub.Stats().Panics; n != 0 {
				t.Errorf("%d panics", n)
			}
			if seq, err := s.hub.PublishChange(hub.Change{Entity: "T", RowID: "1", Kind: hub.Delete}); err == nil {
				t.Errorf("one change alone: seq %d", seq)
			}
		})
	}
}
