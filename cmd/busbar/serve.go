package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/hub/httpapi"
	"github.com/busbar-ws/busbar/hub/metrics"
	"github.com/busbar-ws/busbar/hub/rows"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/datadir"
	"github.com/busbar-ws/busbar/internal/demo"
	"github.com/busbar-ws/busbar/internal/logqueue"
	"github.com/busbar-ws/busbar/internal/natspublish"
	"github.com/busbar-ws/busbar/subs"
)

// server is the daemon: the hub, the HTTP API in front of it and what they stand on.
// Everything is opened before anything is announced, and closed in the opposite order.
type server struct {
	cfg      *options
	log      *slog.Logger
	level    *slog.LevelVar  // of log; may be set while the server runs
	logs     *logqueue.Queue // what log is written to
	dir      datadir.Dir
	locked   datadir.Lock
	hub      *hub.Hub
	sessions *auth.Sessions // nil unless -auth sessions
	ends     auth.Ends
	admin    adminToken
	demo     demoToken
	api      net.Listener
	http     *http.Server
	metrics  *http.Server // nil without -metrics
	nats     *nats.Conn   // with -log nats: the change log's
	ready    func() error // nil: always
	failed   <-chan error // another node has this one's number

	publishing *natspublish.Server // nil without -nats-publish
	reloading  reloading
	closers    []func() error
}

// flushTime is how long the end waits for who reads the log, or standard output.
const flushTime = time.Second

// serve is the default command.
func serve(args []string, s streams) error {
	cfg, err := parseServer(helpFlags(), args, s)
	if err != nil {
		return err
	}
	if cfg.Version {
		return printVersion(nil, s)
	}
	out, logs := logqueue.New(s.out), logqueue.New(s.err)
	defer func() {
		late := time.Now().Add(flushTime)
		logs.Close(time.Until(late))
		out.Close(time.Until(late))
	}()
	level := new(slog.LevelVar)
	log := newLogger(cfg, logs, level)
	logs.OnRoom(func(dropped uint64) {
		log.Warn("log records were dropped: nobody took them in time", "records", dropped)
	})
	slog.SetDefault(log) // for packages that know no other
	signals, hangups := catchSignals()
	warnOfMisspelt(log, s.environ())
	cfg.warn(log)
	eventloop.SaveMemory()
	if cfg.Echo { // SIGHUP does nothing there
		return serveEcho(cfg, log, out, signals)
	}
	srv, err := openUnless(signals, func() (*server, error) { return open(cfg, log, level, logs) })
	if err != nil {
		return err
	}
	if srv == nil {
		log.Info("ended by a signal while it was starting")
		return nil // nobody was told of an address yet
	}
	srv.reloading.parse = func() (*options, error) { return parseOptions(args, s.getenv) }
	go srv.reloadOnHangup(hangups)
	served := make(chan error, 1)
	go func() { served <- srv.http.Serve(srv.api) }()
	srv.announce(out, isTerminal(s.out))
	defer srv.reloading.manager.serving(srv.hub.Capacity(), srv.hub.Answers)()
	var signalled time.Time
	select {
	case <-signals:
		signalled = time.Now()
	case <-srv.hub.Failed():
		err = errors.New("the event loops have stopped; the log says why")
	case err = <-srv.failed:
	case e := <-served:
		err = fmt.Errorf("serving the API: %w", e)
	}
	return errors.Join(err, srv.shutdown(signalled, signals))
}

// openUnless has open run until it has ended or a signal comes; then there is no server and no error.
func openUnless(signals <-chan os.Signal, open func() (*server, error)) (*server, error) {
	var srv *server
	opened := make(chan error, 1)
	go func() {
		var err error
		srv, err = open()
		opened <- err
	}()
	select {
	case <-signals:
		return nil, nil
	case err := <-opened:
		return srv, err
	}
}

// newLogger sets the level to what the flag says.
func newLogger(cfg *options, w io.Writer, level *slog.LevelVar) *slog.Logger {
	_ = level.UnmarshalText([]byte(cfg.Logging.Level)) // one of the four that parseConfig lets through
	o := &slog.HandlerOptions{Level: level}
	if cfg.Logging.Format == "json" {
		o.ReplaceAttr = durationsInSeconds
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// durationsInSeconds: JSON would have them as nanoseconds.
func durationsInSeconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return a
}

// open starts everything. After an error nothing of it is left.
func open(cfg *options, log *slog.Logger, level *slog.LevelVar, logs *logqueue.Queue) (*server, error) {
	shown := values(cfg.flags) // before what follows changes one
	cfg.Hub.Loops.Loops = min(eventloop.RaiseProcs(cfg.Hub.Loops.Loops), subs.MaxLoops)
	srv := &server{cfg: cfg, log: log, level: level, logs: logs, reloading: reloading{shown: shown, manager: &supervisor{log: log}}}
	if err := srv.open(); err != nil {
		_ = srv.close()
		return nil, err
	}
	return srv, nil
}

func (srv *server) open() error {
	if err := srv.openData(); err != nil {
		return err
	}
	free, err := srv.listenAPI() // a port in use is found out before anything is waited for
	if err != nil {
		return err
	}
	_ = free.Close()
	if err := srv.openHub(); err != nil {
		return err
	}
	if err := srv.openAPI(); err != nil {
		return err
	}
	return srv.openPublishing()
}

func (srv *server) listenAPI() (net.Listener, error) {
	l, err := net.Listen("tcp", srv.cfg.API.Address)
	if err != nil {
		return nil, fmt.Errorf("-api %s: %w", srv.cfg.API.Address, cli.Errno(err))
	}
	return l, nil
}

func (srv *server) openData() error {
	dir, err := datadir.Open(srv.cfg.Data)
	if err != nil {
		return err
	}
	srv.dir = dir
	if err := srv.lock(); err != nil {
		return err
	}
	srv.admin, err = loadAdminToken(srv.cfg, dir)
	if srv.admin.warning != "" {
		srv.log.Warn(srv.admin.warning)
	}
	return err
}

// lock keeps other servers off the data directory, once the one before this has ended.
func (srv *server) lock() error {
	lock, err := srv.dir.WaitLock(srv.cfg.LockWait, func() {
		srv.log.Info("another server has the data directory: this one starts when that has ended", "data", string(srv.dir))
	})
	if err != nil {
		return err
	}
	srv.locked = lock
	srv.closers = append(srv.closers, lock.Close)
	if other := srv.cfg.otherAuth(); other != "" {
		if err := lock.Note(other); err != nil {
			srv.log.Warn("busbar session create won't say that nobody knows its sessions", "error", err)
		}
	}
	return nil
}

// apiConnections is how many descriptors the API may use: few enough to leave a server
// with a low limit most of them for clients.
func apiConnections(descriptors int) int { return min(max(descriptors/16, 8), 512) }

// reserve is how many descriptors everything but the clients may take, when so many are open at
// the start: these and some for files that are open for a moment, the API, and the workers'
// connections to callbacks.
func (cfg *options) reserve(open, descriptors int) int {
	const passing = 16
	n := max(open, openAtStart) + passing + apiConnections(descriptors)
	if cfg.RowsURL != "" || cfg.SnapshotURL != "" || cfg.AuthHTTP.URL != "" || cfg.JWT.JWKSURL != "" {
		n += min(descriptors/16, 128)
	}
	if cfg.Log.Cluster.Listen != "" {
		n += natsDescriptors
	}
	if cfg.API.Metrics != "" {
		n += metricsConnections
	}
	return n
}

// openAtStart is the least that is counted as open: more than a server opens, so that doctor,
// which opens something else, reckons with the same.
const openAtStart = 24

func (srv *server) openHub() error {
	cfg := srv.cfg
	descriptors, err := eventloop.DescriptorLimit()
	if err != nil {
		return err
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("counting descriptors: %w", err)
	}
	o := cfg.Hub
	o.Logger = srv.log
	o.Loops.Accept.Reserve = cfg.reserve(len(open), descriptors)
	if err = srv.openServices(&o); err != nil {
		return err
	}
	if cfg.Log.Kind == logNATS {
		err = srv.openNodes(&o)
	} else {
		o.Log, err = srv.openLog()
	}
	if err == nil {
		o.Auth, err = srv.openAuth() // sessions may be where the log of several nodes is
	}
	if err != nil {
		return err
	}
	if kept, ok := o.Log.(*disklog.Log); ok && o.Rows.Fetch == nil {
		o.Rows.Store = kept.Rows()
	}
	// Not earlier: what is sent to a port that isn't served yet would be done when its caller has long gone, and has tried
	// elsewhere. And before the hub: a port in use must not cost anybody a connection.
	if srv.api, err = srv.listenAPI(); err != nil {
		return err
	}
	srv.closers = append(srv.closers, srv.api.Close)
	if srv.hub, err = hub.New(o); err != nil {
		return listening(err)
	}
	srv.ends.Opened(srv.hub)
	return nil
}

// listening names the flag where it is the system that refused.
func listening(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return fmt.Errorf("-listen: %w", err)
	}
	return err
}

// openServices has rows and views asked for where flags say so.
func (srv *server) openServices(o *hub.Options) error {
	cfg := srv.cfg
	service := rows.Options{
		URL: cfg.RowsURL, Timeout: o.Rows.Timeout, MaxBytes: int64(o.MaxMessageOut), MaxHeld: int64(o.Loops.Memory.BufferBytes / 8),
	}
	if cfg.RowsURL != "" {
		fetcher, err := rows.NewHTTP(service)
		if err != nil {
			return fmt.Errorf("-rows-url: %w", err)
		}
		srv.closers = append(srv.closers, fetcher.Close)
		o.Rows.Fetch = fetcher.Fetch
	}
	if service.URL = cfg.SnapshotURL; service.URL != "" {
		fetcher, err := rows.NewViews(service)
		if err != nil {
			return fmt.Errorf("-snapshot-url: %w", err)
		}
		srv.closers = append(srv.closers, fetcher.Close)
		o.Views.Fetch = fetcher.Fetch
	}
	return nil
}

func (srv *server) openLog() (hub.ChangeLog, error) {
	c, given := srv.cfg.Log, srv.cfg.Hub.Seqs == hub.SeqGiven
	if c.Kind == logMemory {
		log := hub.NewMemoryLog(c.Events, c.Bytes)
		if given {
			log.Resume(0)
		}
		return log, nil
	}
	log, err := disklog.Open(srv.dir.ChangeLog(), disklog.Options{
		MaxEvents: c.Events, MaxBytes: c.Bytes, MaxAge: c.Age, TailBytes: c.Tail, Given: given, Logger: srv.log,
	})
	if err != nil {
		return nil, err
	}
	srv.closers = append(srv.closers, log.Close)
	srv.reloading.disk = log
	return log, nil
}

func (srv *server) openAPI() error {
	listener := httpapi.LimitListener(srv.api, apiConnections(srv.hub.Capacity().Descriptors))
	registry := metrics.NewRegistry(srv.hub.Stats)
	registry.MustRegister(metrics.LogRecordsDropped(srv.logs.Dropped), metrics.BuildInfo(version)) // a new registry has no such names
	o := httpapi.Options{
		Registry: registry, Ready: srv.ready,
		Sessions: srv.sessions, Guests: srv.cfg.Guests.Allowed,
		MaxBody: int64(srv.cfg.Hub.MaxMessageOut), Logger: srv.log,
		MayPublish: srv.demo.is, LogLevel: srv.level, Reload: srv.reload, Profiles: profiles(), About: srv.about, Dashboard: true,
		Listener: listener, SharedAddresses: srv.cfg.sharedAddresses(),
		Demo: demo.Handler(demo.Options{WebSocketPort: srv.hub.Addr().(*net.TCPAddr).Port, Auth: srv.cfg.tokensFrom()}),
	}
	srv.http = httpapi.NewServer(srv.cfg.API.Address, httpapi.New(srv.hub, o), httpapi.ServerOptions{IdleTimeout: srv.cfg.API.KeepAlive, Logger: srv.log})
	srv.api = listener
	return srv.openMetrics(o)
}

// sharedAddresses are those that many callers of the API come from.
func (cfg *options) sharedAddresses() []netip.Prefix {
	if cfg.Hub.Loops.Accept.MaxPerAddress < 0 { // many share one
		return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	return cfg.Hub.Loops.Accept.TrustedProxies
}

// close ends the API before the hub: whoever publishes through it has an answer by then.
func (srv *server) close() error {
	var errs []error
	if srv.http != nil {
		// Requests that are being answered have a moment more: they need the stores.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if srv.http.Shutdown(ctx) != nil {
			_ = srv.http.Close()
		}
	}
	if srv.metrics != nil {
		_ = srv.metrics.Close()
	}
	if srv.hub != nil {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = srv.hub.Shutdown(now)
	}
	for i := len(srv.closers) - 1; i >= 0; i-- {
		if err := srv.closers[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	srv.closers = nil
	return errors.Join(errs...)
}
