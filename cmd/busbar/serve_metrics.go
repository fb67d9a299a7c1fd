package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/busbar-ws/busbar/hub/httpapi"
	"github.com/busbar-ws/busbar/internal/cli"
)

// metricsConnections is how many descriptors the listener of -metrics may use.
const metricsConnections = 16

// openMetrics serves /metrics and the probes without a token, where -metrics says. o is what the API was made of.
func (srv *server) openMetrics(o httpapi.Options) error {
	if srv.cfg.API.Metrics == "" {
		return nil
	}
	l, err := net.Listen("tcp", srv.cfg.API.Metrics)
	if err != nil {
		return fmt.Errorf("-metrics %s: %w", srv.cfg.API.Metrics, cli.Errno(err))
	}
	srv.metrics = httpapi.NewServer(l.Addr().String(), httpapi.NewMetrics(srv.hub, o),
		httpapi.ServerOptions{IdleTimeout: srv.cfg.API.KeepAlive, Logger: srv.log})
	go func() {
		if err := srv.metrics.Serve(httpapi.LimitListener(l, metricsConnections)); !errors.Is(err, http.ErrServerClosed) {
			srv.log.Error("metrics aren't served any more", "error", err)
		}
	}()
	return nil
}
