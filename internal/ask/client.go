package ask

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// NewClient returns a client that follows no redirects: a copy of base, or one of its
// own that keeps up to idle connections.
func NewClient(base *http.Client, idle int) *http.Client {
	c := &http.Client{}
	if base != nil {
		*c = *base
	} else {
		c.Transport = newTransport(idle)
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

func newTransport(idle int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle, // the default of 2 would open a connection for nearly every question
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		// What comes of an answer before it is read; 4 MiB by default.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 128 << 10},
	}
}

// ErrNotHTTP stands for errors of net/http that quote what came.
var ErrNotHTTP = errors.New("the connection broke, or what came isn't the HTTP expected")

// Bare takes out of an error of net/http what may be secret: the URL, which may hold a
// password, and what it quotes of an answer, which may be our question.
func Bare(err error) error {
	var e *url.Error
	if !errors.As(err, &e) {
		return err
	}
	var network net.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(e.Err, &network), errors.As(e.Err, &certificate),
		errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded),
		errors.Is(e.Err, io.EOF), errors.Is(e.Err, io.ErrUnexpectedEOF), errors.Is(e.Err, http.ErrSchemeMismatch):
		return e.Err
	}
	return ErrNotHTTP
}
