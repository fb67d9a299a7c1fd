// Package ask sends a question as JSON to a service that the operator runs and reads a
// bounded answer. Redirects are refused, since a question may carry a token that only
// the named service may see.
package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Options says where a service is and how much it may cost.
type Options struct {
	// URL takes the POST requests; http or https.
	URL string
	// Timeout bounds a question, waiting for its turn included (default 5 s).
	Timeout time.Duration
	// MaxBytes bounds an answer's body (default 64 KiB). A longer one is an error.
	MaxBytes int64
	// MaxConcurrent bounds the questions under way (default 64); more wait their turn.
	MaxConcurrent int
	// Client sends the questions, nil for one of the service's own. Its redirect policy
	// is replaced, in a copy.
	Client *http.Client
}

// Service is one URL to ask. Safe from any goroutine.
type Service struct {
	url     string
	name    string // url without what may be secret in it
	timeout time.Duration
	max     int64
	slots   chan struct{}
	client  *http.Client
	own     bool
}

// Errors of a service that answers in a way it should not.
var (
	ErrTooLarge = errors.New("the answer is too large")
	ErrRedirect = errors.New("the answer is a redirect, which is not followed")
)

// New checks the options. It asks nothing.
func New(o Options) (*Service, error) {
	name, err := Name(o.URL)
	if err != nil {
		return nil, err
	}
	s := &Service{url: o.URL, name: name, timeout: o.Timeout, max: o.MaxBytes}
	if s.timeout <= 0 {
		s.timeout = 5 * time.Second
	}
	if s.max <= 0 {
		s.max = 64 << 10
	}
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = 64
	}
	s.slots = make(chan struct{}, o.MaxConcurrent)
	s.client, s.own = NewClient(o.Client, o.MaxConcurrent), o.Client == nil
	return s, nil
}

// Name checks a URL and returns the part of it that may be shown: user, password and
// query can be secret.
func Name(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	// The parser's error would repeat the URL.
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("not an http or https URL")
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), nil
}

// Name is the URL as it may be shown.
func (s *Service) Name() string { return s.name }

// Close closes idle connections. Questions under way still finish.
func (s *Service) Close() {
	if s.own {
		s.client.CloseIdleConnections()
	}
}

// Post asks and returns the status with the whole body, which is the caller's. Errors
// name the service and never what was sent.
func (s *Service) Post(ctx context.Context, question any) (status int, answer []byte, err error) {
	body, err := json.Marshal(question)
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", s.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return 0, nil, fmt.Errorf("wait to ask %s: %w", s.name, ctx.Err())
	}
	if status, answer, err = s.post(ctx, body); err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", s.name, Bare(err))
	}
	return status, answer, nil
}

func (s *Service) post(ctx context.Context, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "busbar")
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return 0, nil, fmt.Errorf("status %d: %w", resp.StatusCode, ErrRedirect)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, s.max+1))
	if err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	if int64(len(answer)) > s.max {
		return 0, nil, fmt.Errorf("over %d bytes: %w", s.max, ErrTooLarge)
	}
	return resp.StatusCode, answer, nil
}
