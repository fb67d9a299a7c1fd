// Package natsconn is how Busbar uses NATS: connections, streams of its own, and which errors are worth another try.
package natsconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
)

// RequestTimeout is for one question to NATS.
const RequestTimeout = 2 * time.Second

// ErrAway says that nothing can be asked now.
var ErrAway = errors.New("there is no connection to NATS")

// Options say how to connect.
type Options struct {
	Servers string        // URLs, separated by commas; none with an in-process server in NATS
	NATS    []nats.Option // credentials, TLS and the like
	Logger  *slog.Logger

	// Called from goroutines of the connection: when it is there again, and when so much came in a
	// subscription that some was dropped. Slow is true for one whose messages are read elsewhere then.
	Reconnected func()
	Slow        func(*nats.Subscription) bool
}

// Connect connects once, and from then on again for as long as that takes.
func Connect(o Options) (*nats.Conn, jetstream.JetStream, error) {
	log := o.Logger
	dialing := &Dialer{By: (&net.Dialer{Timeout: RequestTimeout}).Dial}
	options := append([]nats.Option{
		nats.SetCustomDialer(dialing),
		nats.Name("busbar"), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		// What was published while there is no connection would go out after its publisher was told that it can't.
		nats.ReconnectBufSize(-1),
		// A server that has stopped, but whose socket is open, is found out in three pings.
		nats.Timeout(RequestTimeout), nats.PingInterval(RequestTimeout), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(c *nats.Conn, err error) {
			if !c.IsClosed() {
				log.Warn("the connection to NATS is lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			log.Info("connected to NATS again", "server", c.ConnectedUrlRedacted())
			o.Reconnected()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			if s != nil && errors.Is(err, nats.ErrSlowConsumer) && o.Slow(s) {
				log.Warn("a stream republishes faster than this node delivers, and is read instead")
				return
			}
			log.Warn("NATS reports an error", "error", err)
		}),
	}, o.NATS...)
	conn, err := nats.Connect(o.Servers, options...)
	if err != nil {
		dialing.close() // nats.go hasn't when a WebSocket handshake failed
		return nil, nil, refusal(err)
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(RequestTimeout))
	return conn, js, err
}

// Dialer dials for one connection, one call after the other. nats.go doesn't close a socket whose handshake was refused
// or cut off when it connects again, and dials the next one several times a second: each would stay open until the
// garbage collector finds it. A connection has one socket at a time, so the last one is closed first.
type Dialer struct {
	By   func(network, address string) (net.Conn, error)
	last net.Conn
}

// Dial is for nats.go.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	d.close()
	var err error
	d.last, err = d.By(network, address)
	return d.last, err
}

func (d *Dialer) close() {
	if d.last != nil {
		_ = d.last.Close() // as a rule it was closed before
	}
}

// refusal marks errors about credentials and certificates.
func refusal(err error) error {
	var remote *net.OpError // a TLS alert, as about a certificate that wasn't shown
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrSecureConnRequired),
		errors.As(err, new(*tls.CertificateVerificationError)), errors.As(err, &remote) && remote.Op == "remote error":
		return Permanent(err)
	}
	return err
}

// Permanent makes an error one that waiting doesn't mend.
func Permanent(err error) error { return permanent{err} }

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Patiently tries until it succeeds, fails for good, or ctx ends.
func Patiently(ctx context.Context, log *slog.Logger, doing string, try func(context.Context) error) error {
	const again, tell = 500 * time.Millisecond, 10 * time.Second
	var told time.Time
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*RequestTimeout)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", doing, err)
		if errors.As(err, new(permanent)) {
			return err
		}
		if time.Since(told) > tell {
			told = time.Now()
			log.Warn("waiting for NATS", "error", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(again):
		}
	}
}

// An attempt to store is given up after AttemptTimeout, and StoreTimeout for each message, since a server that has
// stopped never answers. The message's id keeps what was stored all the same from being stored again.
const (
	AttemptTimeout = 2 * time.Second
	StoreTimeout   = 5 * time.Millisecond // a slow disk's, for one that is synced

	firstBackoff   = 50 * time.Millisecond
	longestBackoff = 500 * time.Millisecond
)

// Store has try store something until it succeeds or ctx ends. Its errors are a hub.ChangeLog's.
func Store(ctx context.Context, try func() error) error {
	for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
		err := try()
		switch {
		case err == nil:
			return nil
		case Full(err):
			return fmt.Errorf("%w: %w", hub.ErrLogFull, err)
		case HasCode(err, MessageTooLarge):
			return fmt.Errorf("%w for NATS: %w", hub.ErrTooLarge, err)
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", hub.ErrLogUnavailable, err)
		}
	}
}

// JetStream's error codes that nats.go has no names for.
const (
	NameInUse        jetstream.ErrorCode = 10058 // with another configuration
	NoReplicas       jetstream.ErrorCode = 10074 // more than one without a cluster
	InvalidConfig    jetstream.ErrorCode = 10052
	AccountFull      jetstream.ErrorCode = 10002
	NoResources      jetstream.ErrorCode = 10023
	MemoryFull       jetstream.ErrorCode = 10028
	StorageFull      jetstream.ErrorCode = 10047
	MessageTooLarge  jetstream.ErrorCode = 10054
	StoreFailed      jetstream.ErrorCode = 10077
	RepeatedInABatch jetstream.ErrorCode = 10201
	DeleteFailed     jetstream.ErrorCode = 10057
	NoSuchSeq        jetstream.ErrorCode = 10043
)

// Full is whether there was no room at the servers.
func Full(err error) bool {
	return HasCode(err, AccountFull, NoResources, MemoryFull, StorageFull, StoreFailed)
}

// HasCode is whether JetStream answered with one of the codes.
func HasCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrorCode == code {
			return true
		}
	}
	return false
}
