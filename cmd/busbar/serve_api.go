package main

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/busbar-ws/busbar/hub/httpapi"
)

// about is what GET /v1/stats says of this server.
func (srv *server) about() httpapi.About {
	a := httpapi.About{Version: version, ChangeLog: string(srv.cfg.Log.Kind)}
	if srv.nats != nil {
		a.NATS = &httpapi.NATSState{
			State:      strings.ToLower(srv.nats.Status().String()),
			Server:     srv.nats.ConnectedAddr(), // unlike the URL this has no password
			Reconnects: srv.nats.Stats().Reconnects,
		}
	}
	return a
}

// profiles are net/http/pprof's, as far as they are asked for by GET. The package also puts them into
// http.DefaultServeMux, which this process serves nowhere.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
