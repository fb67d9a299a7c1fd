package httpapi

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ServerOptions bound what one caller can hold on to. Zero means the value in brackets.
type ServerOptions struct {
	ReadHeaderTimeout time.Duration // for a request's header (10 s)
	StallTimeout      time.Duration // in which a body, or the reader of an answer, has to make progress (20 s)
	IdleTimeout       time.Duration // between two requests of a connection (75 s)
	MaxHeaderBytes    int           // (16 KiB)
	Logger            *slog.Logger  // gets what net/http has to say (slog.Default())
}

func (o *ServerOptions) setDefaults() {
	setDefault(&o.ReadHeaderTimeout, 10*time.Second)
	setDefault(&o.StallTimeout, 20*time.Second)
	setDefault(&o.IdleTimeout, 75*time.Second)
	setDefault(&o.MaxHeaderBytes, 16<<10)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

func setDefault[T time.Duration | int](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// NewServer is an HTTP server for h that no slow or silent caller can hold up. Give its
// Serve a listener from LimitListener, so that they can't hold its descriptors and its
// connections either.
func NewServer(addr string, h http.Handler, o ServerOptions) *http.Server {
	o.setDefaults()
	return &http.Server{
		Addr:    addr,
		Handler: h,
		// OPTIONS * is the handler's, which says what there is.
		DisableGeneralOptionsHandler: true,

		ReadHeaderTimeout: o.ReadHeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		// net/http reads 4 KiB beyond what it is told.
		MaxHeaderBytes: max(o.MaxHeaderBytes-4<<10, 1<<10),
		ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if l, ok := c.(*limitedConn); ok {
				l.stall = o.StallTimeout
			}
			return context.WithValue(ctx, connKey{}, c)
		},
	}
}
