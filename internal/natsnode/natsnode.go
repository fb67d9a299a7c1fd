// Package natsnode runs a NATS server inside this process, as one of a cluster whose only clients are the processes
// that its servers are in.
package natsnode

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// Options say what a server keeps and how it reaches the others.
type Options struct {
	Cluster string   // its name, the same at all nodes
	Listen  string   // address for the other nodes
	Routes  []string // addresses of all nodes; this one's may be among them
	Secret  string   // what nodes show each other
	TLS     *tls.Config

	Dir        string // what is stored; made when absent
	MaxStore   int64  // bytes of it
	MaxMessage int    // bytes

	Logger *slog.Logger

	removeAfter time.Duration // the constant, but for tests
}

// Node is a running server. It is safe from any goroutine.
type Node struct {
	server  atomic.Pointer[server.Server] // a new one after its disk was full
	options Options
	logger  *slog.Logger

	addresses   []string // all nodes'
	password    string   // of both users
	removeAfter time.Duration

	stop    context.CancelFunc
	watched chan struct{} // closed when nobody looks after the server any more
}

// user is the name that goes with the secret, and systemUser that of the one who may change the cluster.
const (
	user       = "busbar"
	systemUser = "busbar-system"
)

const startTimeout = 10 * time.Second

// Start returns when the server takes clients. The cluster may not be there yet.
func Start(o Options) (*Node, error) {
	n := &Node{
		options: o, logger: o.Logger, addresses: o.Routes, password: rand.Text(), removeAfter: cmp.Or(o.removeAfter, removeAfter),
		watched: make(chan struct{}),
	}
	if err := n.start(); err != nil {
		return nil, err
	}
	var watching context.Context
	watching, n.stop = context.WithCancel(context.Background())
	go n.watch(watching)
	return n, nil
}

// start starts a server, in the place of one that was shut down.
func (n *Node) start() error {
	o := &n.options
	options, err := o.server(n.password)
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("the NATS server of this node: %w", err)
	}
	s.SetLoggerV2(&logger{Logger: o.Logger}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		shutDown(s)
		return fmt.Errorf("the NATS server of this node can't listen on %s or store in %s; the log says why", o.Listen, o.Dir)
	}
	n.server.Store(s)
	return nil
}

func shutDown(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func (o *Options) server(password string) (*server.Options, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", o.Listen, err)
	}
	// Otherwise it would only be found out, and logged, later.
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", o.Listen, err)
	}
	_ = l.Close()
	name, err := o.name()
	if err != nil {
		return nil, err
	}
	routes := make([]*url.URL, len(o.Routes))
	for i, address := range o.Routes {
		routes[i] = &url.URL{Scheme: "nats-route", Host: address, User: url.UserPassword(user, o.Secret)}
	}
	if host == "" {
		host = "0.0.0.0"
	}
	system := server.NewAccount(server.DEFAULT_SYSTEM_ACCOUNT)
	const headers = 64 << 10 // of a message: its op id, and what NATS adds
	return &server.Options{
		// Without a port for clients there are no routes either. Nobody else knows the password.
		ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true,
		Users:    []*server.User{{Username: user, Password: password}, {Username: systemUser, Password: password, Account: system}},
		Accounts: []*server.Account{system}, Metadata: map[string]string{addressKey: o.Listen},
		MaxPayload: int32(min(o.MaxMessage+headers, server.MAX_PAYLOAD_MAX_SIZE)), MaxPending: server.MAX_PENDING_SIZE,
		JetStream: true, StoreDir: o.Dir, SyncAlways: true, JetStreamMaxStore: o.MaxStore, JetStreamMaxMemory: maxMemory,
		Cluster: server.ClusterOpts{
			Name: o.Cluster, Host: host, Port: number, Username: user, Password: o.Secret, TLSConfig: o.TLS, TLSTimeout: 5,
			// A node that has stopped, but whose socket is open, is found out in three pings.
			PingInterval: 2 * time.Second, MaxPingsOut: 2, NoAdvertise: true,
			// Routes are divided by account, and there are two: ours, and NATS' own, which always has a route to itself.
			PoolSize: 1,
		},
		Routes: routes,
		// A node that is away is looked for every second, and needn't be named as often.
		ReconnectErrorReports: 60,
	}, nil
}

// maxMemory is for batches that aren't whole yet; no stream is kept in memory.
const maxMemory = 256 << 20

// name is this node's for as long as what it has stored is its own: the others count it by that.
func (o *Options) name() (string, error) {
	file := filepath.Join(o.Dir, "node-name")
	text, err := os.ReadFile(file)
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("naming this node: %w", err)
	}
	name := host + "-" + strings.ToLower(rand.Text()[:8]) // several may run on one host, or have one's name
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return "", err
	}
	o.Logger.Warn("this node has no data yet, and gets the cluster's; a new cluster begins once all of its nodes have been started", "nodes", o.Routes)
	return name, keep(file, name+"\n")
}

// keep writes a file that is there whole or not at all, also after a power loss: what is stored belongs to its name.
func keep(file, text string) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // but when it has its name
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Client is how this process gets at the server.
func (n *Node) Client() nats.Option {
	return func(o *nats.Options) error {
		o.InProcessServer, o.User, o.Password = n, user, n.password
		return nil
	}
}

// InProcessConn is a connection to the server that runs now.
func (n *Node) InProcessConn() (net.Conn, error) { return n.server.Load().InProcessConn() }

// StepDown has another node lead the stream, so that nobody waits for an election when this one ends. It returns
// when that is so, or ctx has ended.
func (n *Node) StepDown(ctx context.Context, stream string) {
	const look = 20 * time.Millisecond
	s := n.server.Load()
	for s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) && ctx.Err() == nil {
		_ = s.JetStreamStepdownStream(server.DEFAULT_GLOBAL_ACCOUNT, stream)
		select {
		case <-time.After(look):
		case <-ctx.Done():
		}
	}
}

// NATS stops storing when a write finds no room, and would only go on after a new start. It is looked at every
// lookAfter whether it has stopped, and roomToStore is what has to be free.
const (
	lookAfter   = 2 * time.Second
	roomToStore = 32 << 20
)

// watch has the server store again once there is room, and removes nodes that were replaced.
func (n *Node) watch(ctx context.Context) {
	defer close(n.watched)
	ticker := time.NewTicker(lookAfter)
	defer ticker.Stop()
	away := make(map[string]time.Time)
	for stopped := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		n.removeReplaced(ctx, away)
		had := stopped
		stopped = n.server.Load().JetStreamConfig() == nil // not before it has stopped altogether
		if stopped && !had {
			n.logger.Error("NATS stores nothing any more, for want of room: the other nodes go on without this one", "folder", n.options.Dir)
			continue
		}
		if !stopped || !n.hasRoom() {
			continue
		}
		// Turned on again in a server that runs, JetStream answers for a moment as if it were alone, for what it had.
		shutDown(n.server.Load())
		if err := n.start(); err != nil {
			n.logger.Error("NATS can't store again", "error", err)
		} else {
			n.logger.Info("NATS stores again")
			stopped = false
		}
	}
}

func (n *Node) hasRoom() bool {
	var fs unix.Statfs_t
	err := unix.Statfs(n.options.Dir, &fs)
	return err == nil && fs.Bavail*uint64(fs.Bsize) >= roomToStore //nolint:gosec // a size
}

// Close ends the server.
func (n *Node) Close() error {
	n.stop()
	<-n.watched
	shutDown(n.server.Load())
	return nil
}
