package ask

import (
	"errors"
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
	}
}

// Bare takes the URL out of an error of net/http: it may hold a password.
func Bare(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
