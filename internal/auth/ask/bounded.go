package ask

import (
	"io"
	"net/http"
)

// Bounded is a transport that cuts bodies off after Max bytes, for libraries that read
// until the end. Safe from any goroutine.
type Bounded struct {
	Next http.RoundTripper // nil = http.DefaultTransport
	Max  int64
}

// RoundTrip does what Next does.
func (b Bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	next := b.Next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err == nil {
		resp.Body = cutBody{io.LimitReader(resp.Body, b.Max), resp.Body}
	}
	return resp, err
}

// CloseIdleConnections is what http.Client looks for in a transport.
func (b Bounded) CloseIdleConnections() {
	if c, ok := b.Next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type cutBody struct {
	io.Reader
	io.Closer
}
