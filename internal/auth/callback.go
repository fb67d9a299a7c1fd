package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/auth/ask"
)

// maxLongToken bounds tokens that carry claims, in bytes. Longer ones are bad without asking.
const maxLongToken = 8 << 10

// HTTPOptions says which service knows the tokens.
type HTTPOptions struct {
	// URL takes POST {"token":"…"} and answers 200 with {"user_id","tenant_id"?,
	// "is_admin"?,"expires_at"?} (Unix seconds, 0 or absent = never), or 401, 403 or 404
	// for a token that it doesn't know.
	URL string
	// Timeout bounds a question, waiting for its turn included (default 5 s).
	Timeout time.Duration
	// CacheTTL is how long a good answer is used (default 30 s), and so how long a
	// token that was revoked still opens connections.
	CacheTTL time.Duration
	// CacheEntries bounds the answers kept, about (default 1,000,000).
	CacheEntries int
	// MaxConcurrent bounds the questions under way (default 64).
	MaxConcurrent int
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
	setDefault(&o.MaxConcurrent, 64)
	service, err := ask.New(ask.Options{
		URL:           o.URL,
		Timeout:       o.Timeout,
		MaxBytes:      64 << 10,
		MaxConcurrent: o.MaxConcurrent,
		Client:        o.Client,
	})
	if err != nil {
		return nil, fmt.Errorf("auth service: %w", err)
	}
	return &HTTP{service: service, memo: memo{
		cache:    newCache(o.CacheEntries),
		flights:  newFlights(o.MaxConcurrent, o.Timeout, o.Log),
		ttl:      o.CacheTTL,
		maxToken: maxLongToken,
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

type answer struct {
	UserID    string `json:"user_id"`
	TenantID  string `json:"tenant_id"`
	IsAdmin   bool   `json:"is_admin"`
	ExpiresAt int64  `json:"expires_at"`
}

var errBadAnswer = errors.New("the answer is not as it should be")

func (h *HTTP) ask(ctx context.Context, token string) (*hub.Identity, error) {
	status, body, err := h.service.Post(ctx, question{token})
	if err != nil {
		return nil, err
	}
	switch status {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return nil, hub.ErrUnauthorized
	default:
		return nil, fmt.Errorf("ask %s: status %d: %w", h.service.Name(), status, errBadAnswer)
	}
	var a answer
	// The decoder's error isn't passed on: it may quote the body.
	if json.Unmarshal(body, &a) != nil {
		return nil, fmt.Errorf("ask %s: not the JSON expected: %w", h.service.Name(), errBadAnswer)
	}
	id := &hub.Identity{UserID: a.UserID, Tenant: a.TenantID, Admin: a.IsAdmin, Expires: expiry(a.ExpiresAt)}
	if !usable(id) {
		return nil, fmt.Errorf("ask %s: user_id or tenant_id is missing or too long: %w", h.service.Name(), errBadAnswer)
	}
	return id, nil
}
