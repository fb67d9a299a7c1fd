package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/echoserver"
	"github.com/busbar-ws/busbar/subs"
)

// serveEcho is serve with -echo: the event loops without a hub.
func serveEcho(cfg *options, log *slog.Logger, out io.Writer, signals <-chan os.Signal) error {
	cfg.Hub.Loops.Loops = min(eventloop.RaiseProcs(cfg.Hub.Loops.Loops), subs.MaxLoops)
	o := cfg.Hub.Loops
	o.Log = log
	srv, err := echoserver.Start(o)
	if err != nil {
		return listening(err)
	}
	log.Warn("ECHO MODE (-echo): everybody is let in and gets back what they send; for conformance suites only")
	announceEcho(out, log, cfg, srv)
	manager := &supervisor{log: log}
	defer manager.serving(srv.Capacity(), srv.Answers)()
	var signalled time.Time
	select {
	case <-signals:
		signalled = time.Now()
	case <-srv.Failed():
		err = errors.New("the event loops have stopped; the log says why")
	}
	manager.stopping(cfg.Drain.Within)
	ctx, cancel := drainContext(cfg.Drain.Within, signalled, signals)
	defer cancel()
	if e := srv.Shutdown(ctx); e != nil && err == nil {
		log.Warn("not every client has gone in time", "error", e)
	}
	return err
}

// announceEcho tells whoever started it how to use it.
func announceEcho(w io.Writer, log *slog.Logger, cfg *options, srv *echoserver.Server) {
	if cfg.Logging.Format == "json" {
		log.Info("serving", "version", version, "websocket", srv.Addr().String(), "loops", srv.Loops(),
			"capacity", srv.Capacity().Connections, "limited_by", srv.Capacity().LimitedBy)
		return
	}
	fmt.Fprintf(w, "busbar %s\n\n", version)
	fmt.Fprintf(w, "  ECHO MODE (-echo): for conformance suites only. Everybody is let in and gets back what they send.\n")
	fmt.Fprintf(w, "  WebSocket    ws://%s%s\n", callable(srv.Addr().String()), everywhere(srv.Addr(), cfg.Hub.Loops.Listen))
	fmt.Fprintf(w, "  Event loops  %d\n", srv.Loops())
	fmt.Fprintf(w, "  Connections  up to %d: limited by %s\n", srv.Capacity().Connections, srv.Capacity().LimitedBy)
	fmt.Fprintf(w, "  Messages     up to %s (-max-message-in); who doesn't read may have %s waiting (-lag-bytes)\n\n",
		cli.FormatSize(cfg.Hub.Loops.MaxMessageIn), cli.FormatSize(cfg.Hub.Loops.Slow.LagBytes))
	fmt.Fprintf(w, "Point the suite at ws://%s, any path; it needs no token.\n\n", callable(srv.Addr().String()))
}
