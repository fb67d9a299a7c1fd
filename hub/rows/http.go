// Package rows fetches row snapshots, and all that a new client needs, from services that the operator runs.
package rows

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/ask"
	"github.com/busbar-ws/busbar/internal/memory"
)

// Options says which service is asked.
type Options struct {
	// URL takes POST {"user_id","tenant_id","is_admin","entity","row_id"} and answers
	// 200 with the row's payload, or 400, 403, 404, 410 or 422 when that caller may not read it
	// or there is no such row: entity and row_id are whatever a client says. Any other status,
	// 401 too, says that the service can't answer now.
	URL string
	// Timeout bounds a fetch (default 5 s).
	Timeout time.Duration
	// MaxBytes bounds a payload (default 16 MiB, or a 16th of the memory). A larger one is an error.
	MaxBytes int64
	// MaxHeld bounds what payloads that are being read take together, in bytes; at least MaxBytes.
	// More wait their turn (default: as much as stored rows may, whose memory is free when a
	// service has the rows).
	MaxHeld int64
}

// HTTP fetches snapshots over HTTP. Safe from any goroutine.
type HTTP struct{ service *ask.Service }

// NewHTTP checks the options; it fetches nothing yet. The caller closes it.
func NewHTTP(o Options) (*HTTP, error) {
	service, err := newService(o)
	if err != nil {
		return nil, fmt.Errorf("row service: %w", err)
	}
	return &HTTP{service}, nil
}

func newService(o Options) (*ask.Service, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = int64(memory.Defaults().Message)
	}
	if o.MaxHeld <= 0 {
		o.MaxHeld = int64(memory.Defaults().Rows)
	}
	return ask.New(ask.Options{
		URL: o.URL, Timeout: o.Timeout, MaxBytes: o.MaxBytes, MaxHeld: o.MaxHeld, Hold: hub.HoldFetched,
	})
}

// Close closes idle connections. Fetches under way still finish.
func (h *HTTP) Close() error {
	h.service.Close()
	return nil
}

type question struct {
	UserID   string `json:"user_id"`
	TenantID string `json:"tenant_id"`
	IsAdmin  bool   `json:"is_admin"`
	Entity   string `json:"entity"`
	RowID    string `json:"row_id"`
}

// Fetch returns the row's snapshot, which is the caller's, as id may read it. ok is
// false when id may not, or there is no such row; the two can't be told apart
// (docs/protocol.md section 2). It blocks until the answer, the timeout or the end of ctx.
func (h *HTTP) Fetch(ctx context.Context, id *hub.Identity, entity, rowID string) (payload []byte, ok bool, err error) {
	status, body, err := h.service.Post(ctx, question{id.UserID, id.Tenant, id.Admin, entity, rowID})
	if err != nil {
		return nil, false, err
	}
	switch status {
	case http.StatusOK:
		return body, true, nil
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity:
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("ask %s for a row: unexpected status %d", h.service.Name(), status)
}
