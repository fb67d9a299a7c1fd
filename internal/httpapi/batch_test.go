package httpapi

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// tellingLog calls at with each seq that it gives.
type tellingLog struct {
	*hub.MemoryLog
	at func(seq uint64)
}

func (l *tellingLog) Append(e hub.Event, a hub.Audience) (hub.Entry, error) {
	entry, err := l.MemoryLog.Append(e, a)
	l.at(entry.Seq)
	return entry, err
}

// docs/protocol.md section 5: without its caller the rest of an NDJSON body isn't published.
func TestPostBatchStopsWithoutItsCaller(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	s := start(t, func(ho *hub.Options, _ *Options) {
		ho.Log = &tellingLog{hub.NewMemoryLog(0, 0), func(seq uint64) {
			if seq == together+1 {
				leave()
			}
		}}
	})
	body := strings.Repeat(`{"entity":"T","row_id":"1","kind":"delete","timestamp":"1Z"}`+"\n", 10*together)
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/changes", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Content-Type", typeNDJSON)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	const stands = 2 * together // what was begun is finished
	if e := s.wantError(w, 503, "UNAVAILABLE"); e.Applied == nil || *e.Applied != stands || e.Line != stands+1 {
		t.Errorf("got %+v, want %d changes applied", e, stands)
	}
	if seq := s.hub.Stats().LastSeq; seq != stands {
		t.Errorf("%d changes were published, want %d", seq, stands)
	}
}
