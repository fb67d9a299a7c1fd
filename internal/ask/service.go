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

	"golang.org/x/sync/semaphore"
)

// Options says where a service is and how much it may cost.
type Options struct {
	// URL takes the POST requests; http or https.
	URL string
	// Timeout bounds a question (default 5 s).
	Timeout time.Duration
	// MaxBytes bounds an answer's body (default 64 KiB). A longer one is an error.
	MaxBytes int64
	// MaxHeld bounds what answers that are being read hold together, in bytes, but for the first
	// smallAnswer of each of unknown length; it is at least MaxBytes (default 64 times that).
	// More wait their turn.
	MaxHeld int64
	// Hold, which may be nil, counts n bytes of an answer to a question that was asked with ctx, from
	// before they are read until the answer is whole. With its error the question fails.
	Hold func(ctx context.Context, n int) (release func(), err error)
	// Client sends the questions, nil for one of the service's own. Its redirect policy
	// is replaced, in a copy.
	Client *http.Client
}

// idleConnections are kept for more questions: as many as a hub asks at once by default.
const idleConnections = 64

// Service is one URL to ask. Safe from any goroutine.
type Service struct {
	url     string
	name    string // url without what may be secret in it
	timeout time.Duration
	max     int64
	maxHeld int64
	held    *semaphore.Weighted // of maxHeld bytes
	hold    func(ctx context.Context, n int) (release func(), err error)
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
	s := &Service{url: o.URL, name: name, timeout: o.Timeout, max: o.MaxBytes, hold: o.Hold}
	if s.timeout <= 0 {
		s.timeout = 5 * time.Second
	}
	if s.max <= 0 {
		s.max = 64 << 10
	}
	if o.MaxHeld <= 0 {
		o.MaxHeld = 64 * s.max
	}
	if s.hold == nil {
		s.hold = func(context.Context, int) (func(), error) { return func() {}, nil }
	}
	s.maxHeld = max(o.MaxHeld, s.max)
	s.held = semaphore.NewWeighted(s.maxHeld)
	s.client, s.own = NewClient(o.Client, idleConnections), o.Client == nil
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
	if status, answer, err = s.post(ctx, body); err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", s.name, Bare(err))
	}
	return status, answer, nil
}

func (s *Service) post(ctx context.Context, body []byte) (int, []byte, error) {
	resp, err := s.do(ctx, body)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := s.read(ctx, resp)
	if err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	return resp.StatusCode, answer, nil
}

// do returns an answer that isn't read yet, and is no redirect.
func (s *Service) do(ctx context.Context, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "busbar")
	resp, err := s.client.Do(req)
	if err == nil && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Body.Close()
		return nil, fmt.Errorf("status %d: %w", resp.StatusCode, ErrRedirect)
	}
	return resp, err
}

// smallAnswer is what is read of an answer whose length nobody has said, before what it may come
// to is waited for.
const smallAnswer = 64 << 10

// read reads an answer's body when there is room for it.
func (s *Service) read(ctx context.Context, resp *http.Response) (answer []byte, err error) {
	if resp.ContentLength > s.max {
		return nil, fmt.Errorf("over %d bytes: %w", s.max, ErrTooLarge)
	}
	if size := resp.ContentLength; size >= 0 {
		release, err := s.room(ctx, size)
		if err != nil {
			return nil, err
		}
		defer release()
		answer = make([]byte, size)
		_, err = io.ReadFull(resp.Body, answer)
		return answer, err
	}
	small := min(smallAnswer, s.max+1)
	release, err := s.hold(ctx, int(small))
	if err != nil {
		return nil, err
	}
	defer release()
	if answer, err = io.ReadAll(io.LimitReader(resp.Body, small)); err != nil {
		return nil, err
	}
	if len(answer) == smallAnswer {
		release, err := s.room(ctx, min(2*s.max, s.maxHeld)) // a slice that grows is there twice
		if err != nil {
			return nil, err
		}
		defer release()
		if answer, err = io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(answer), resp.Body), s.max+1)); err != nil {
			return nil, err
		}
	}
	if int64(len(answer)) > s.max {
		return nil, fmt.Errorf("over %d bytes: %w", s.max, ErrTooLarge)
	}
	return answer, nil
}

// room waits until n bytes more may be held, and holds them.
func (s *Service) room(ctx context.Context, n int64) (release func(), err error) {
	if err := s.held.Acquire(ctx, n); err != nil {
		return nil, err
	}
	uncount, err := s.hold(ctx, int(n))
	if err != nil {
		s.held.Release(n)
		return nil, err
	}
	return func() {
		uncount()
		s.held.Release(n)
	}, nil
}
