package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/ask"
)

// maxLongToken bounds tokens that carry claims, in bytes. Longer ones are bad without asking.
const maxLongToken = 8 << 10

// HTTPOptions says which service knows the tokens.
type HTTPOptions struct {
	// URL takes POST {"token":"…"} and answers 200 with {"user_id","tenant_id"?,
	// "is_admin"?,"expires_at"?}, or 400, 401, 403, 404, 410 or 422 for a token that is no good.
	// Any other status says that it can't answer now.
	//
	// The names match exactly and stand once; others are passed over. user_id and tenant_id are
	// strings or integers, which are taken as they are written; a tenant_id of null or "" is none.
	// is_admin is true or false. expires_at is in whole Unix seconds, also as 5.0 or "5"; 0 or
	// absent means never, and null is an error. An answer that isn't so says nothing about the
	// token, and is logged.
	URL string
	// Timeout bounds a question (default 5 s).
	Timeout time.Duration
	// CacheTTL is how long a good answer is used (default 30 s), and so how long a
	// token that was revoked still opens connections.
	CacheTTL time.Duration
	// CacheEntries bounds the answers kept, about (default 1,000,000).
	CacheEntries int
	// Client sends the questions; nil for one of its own. Redirects are never followed.
	Client *http.Client
	// Log gets a panic in a lookup (default slog.Default()).
	Log *slog.Logger
}

// HTTP asks a service of the operator's about each token. Safe from any goroutine.
type HTTP struct {
	service *ask.Service
	memo    memo
}

var _ hub.Authenticator = (*HTTP)(nil)

// NewHTTP checks the options; it doesn't ask yet. The caller closes it.
func NewHTTP(o HTTPOptions) (*HTTP, error) {
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.CacheTTL, 30*time.Second)
	service, err := ask.New(ask.Options{URL: o.URL, Timeout: o.Timeout, MaxBytes: 64 << 10, Client: o.Client})
	if err != nil {
		return nil, fmt.Errorf("auth service: %w", err)
	}
	return &HTTP{service: service, memo: memo{
		cache:    newCache(o.CacheEntries),
		flights:  newFlights(o.Timeout, o.Log),
		ttl:      o.CacheTTL,
		maxToken: maxLongToken,
		renews:   true,
	}}, nil
}

// Close ends questions under way and closes idle connections.
func (h *HTTP) Close() error {
	h.memo.flights.close()
	h.service.Close()
	return nil
}

// Cached answers from memory.
func (h *HTTP) Cached(token string) (*hub.Identity, bool) { return h.memo.cached(token) }

// Authenticate asks the service about a token that isn't cached.
func (h *HTTP) Authenticate(ctx context.Context, token string) (*hub.Identity, error) {
	return h.memo.authenticate(ctx, token, func(ctx context.Context) (*hub.Identity, error) {
		return h.ask(ctx, token)
	})
}

type question struct {
	Token string `json:"token"`
}

func (h *HTTP) ask(ctx context.Context, token string) (*hub.Identity, error) {
	status, body, err := h.service.Post(ctx, question{token})
	if err != nil {
		return nil, err
	}
	switch status {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusGone, http.StatusUnprocessableEntity:
		return nil, &hub.Refusal{Cause: hub.Cause("service_said_" + strconv.Itoa(status))}
	default:
		return nil, fmt.Errorf("ask %s: status %d: %w", h.service.Name(), status, errBadAnswer)
	}
	id, err := readAnswer(body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w: %w", h.service.Name(), errBadAnswer, err)
	}
	return id, nil
}
