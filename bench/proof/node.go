package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

const clusterNodes = 3

// node is a host: what fails there fails together. Owned by one goroutine, but for calls and connections.
type node struct {
	*daemon
	nats   *natsServer   // nil: there is none beside the daemon
	away   atomic.Bool   // clients and publishers needn't go there
	starts *atomic.Int64 // how many there were
}

// natsServer is a process. Owned by one goroutine, but for its connection.
type natsServer struct {
	*process
	program []string // and its arguments
	room    *room
	store   string // the folder of what it stores
	log     *tail
	conn    *nats.Conn // of those who publish there; safe from any goroutine
}

// layout says what a stage is made of.
type layout struct {
	nodes    int
	external bool   // NATS runs beside the nodes
	cabled   bool   // each node has a network of its own
	size     string // of the tmpfs that the first node's log is on; "": none
	powered  bool   // it is on a disk whose power can be cut
}

func (s *stage) addNodes(ctx context.Context, args []string) (err error) {
	if s.external && s.o.NATSServer == "" {
		return fmt.Errorf("%w: no program of a NATS server was given", errAbsent)
	}
	addresses, err := freeAddresses(2 * s.layout.nodes)
	if err != nil {
		return err
	}
	routes, servers := addresses[:s.layout.nodes], addresses[s.layout.nodes:]
	if s.cabled {
		if s.cables, err = newCables(ctx, s.layout.nodes); err != nil {
			return err
		}
		for i := range s.layout.nodes {
			routes[i], servers[i] = cableAddress(i)+":6222", cableAddress(i)+":4222"
		}
	}
	for i := range s.layout.nodes {
		if err := s.addNode(ctx, i, routes, servers, args); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) addNode(ctx context.Context, i int, routes, servers, args []string) (err error) {
	n := &node{starts: &s.book.starts[0]}
	if s.layout.nodes > 1 {
		n.starts = &s.book.starts[i+1]
		if args, err = s.clusterArgs(i, routes, servers); err != nil {
			return err
		}
	}
	if n.daemon, err = newDaemon(s.o.Program, filepath.Join(s.folder, fmt.Sprint("node", i)), append(args, s.o.Args...)...); err != nil {
		return err
	}
	s.nodes = append(s.nodes, n)
	n.shared = s.layout.nodes > 1
	if s.external {
		n.nats = &natsServer{store: filepath.Join(s.folder, fmt.Sprint("nats", i)), log: &tail{}}
		if err := n.nats.configure(s.o.NATSServer, servers[i], routes[i], routes); err != nil {
			return err
		}
	}
	switch {
	case s.cables != nil:
		n.room = s.cables.rooms[i]
	case i == 0 && (s.layout.size != "" || s.powered):
		if err := s.mountLog(ctx, n); err != nil {
			return err
		}
	}
	if n.nats != nil {
		n.nats.room = n.room
		return n.nats.connect(servers[i])
	}
	return nil
}

func (s *stage) mountLog(ctx context.Context, n *node) (err error) {
	if s.powered {
		if s.disk, err = makeDisk(ctx, filepath.Join(s.folder, "image")); err != nil {
			return err
		}
	}
	if n.room, err = newRoom(mounts); err != nil {
		return err
	}
	s.room = n.room
	if s.powered {
		return n.room.mount(ctx, "ext4", s.disk.Name(), "rw", n.dir)
	}
	return n.room.mount(ctx, "tmpfs", "tmpfs", "mode=0700,size="+s.layout.size, n.logFolder())
}

// logFolder is where the node's copy of the change log is.
func (n *node) logFolder() string {
	if n.nats != nil {
		return n.nats.store
	}
	return n.dir
}

func (s *stage) clusterArgs(i int, routes, servers []string) ([]string, error) {
	secret, key := filepath.Join(s.folder, "secret"), filepath.Join(s.folder, "key")
	if err := errors.Join(os.WriteFile(secret, []byte("between nodes"), 0o600), os.WriteFile(key, tokenSecret, 0o600)); err != nil {
		return nil, err
	}
	args := []string{"-log", "nats", "-node", fmt.Sprint(i + 1), "-log-tail", "1MiB", "-auth", "jwt", "-jwt-key", key}
	if s.external {
		return append(args, "-nats", "nats://"+strings.Join(servers, ",nats://"), "-nats-publish"), nil
	}
	return append(args, "-cluster-listen", routes[i], "-cluster-routes", strings.Join(routes, ","), "-cluster-secret-file", secret), nil
}

// natsConfig is what is said to be needed in docs/cluster.md.
const natsConfig = `server_name: %q
listen: %q
jetstream { store_dir: %q, sync_interval: always, max_file: 10GB }
cluster { name: chaos, listen: %q, routes: [%s], no_advertise: true, ping_interval: "2s", ping_max: 2 }
`

func (s *natsServer) configure(program, listen, route string, routes []string) error {
	file := s.store + ".conf"
	s.program = []string{program, "-c", file}
	text := fmt.Sprintf(natsConfig, filepath.Base(s.store), listen, s.store, route, `"nats://`+strings.Join(routes, `", "nats://`)+`"`)
	return os.WriteFile(file, []byte(text), 0o600)
}

// connect is over at once, and the connection is there whenever the server is.
func (s *natsServer) connect(address string) (err error) {
	s.conn, err = nats.Connect("nats://"+address, nats.SetCustomDialer(s.room), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectBufSize(-1), nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2))
	return err
}

// request has a node publish changes, whichever takes it.
func (s *natsServer) request(ctx context.Context, mime string, body []byte) ([]byte, error) {
	m := nats.NewMsg("busbar.publish")
	m.Header.Set("Content-Type", mime)
	m.Data = body
	answer, err := s.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("publishing over NATS: %w", err)
	}
	if status, _ := strconv.Atoi(answer.Header.Get("Busbar-Status")); status/100 != 2 {
		return nil, &refusal{status, string(answer.Data)}
	}
	return answer.Data, nil
}

func (s *natsServer) start() (err error) {
	if s.process, err = run(s.room.inside(s.program...), &exec.Cmd{Stderr: s.log}); err != nil {
		return fmt.Errorf("starting a NATS server: %w", err)
	}
	return nil
}

// start is over when the node is ready.
func (n *node) start(ctx context.Context) error {
	n.starts.Add(1)
	if n.nats != nil {
		if err := n.nats.start(); err != nil {
			return err
		}
	}
	return n.daemon.start(ctx)
}

func (n *node) kill() error {
	if n.nats != nil {
		_ = n.nats.Process.Kill()
	}
	n.daemon.kill()
	if n.nats != nil {
		n.nats.end(syscall.SIGKILL)
	}
	return nil
}

func (n *node) stop() error {
	err := n.daemon.stop()
	if n.nats != nil {
		n.nats.end(syscall.SIGTERM)
	}
	return err
}

func (n *node) signal(s syscall.Signal) error {
	err := n.Process.Signal(s)
	if n.nats != nil {
		err = errors.Join(err, n.nats.Process.Signal(s))
	}
	return err
}

// close ends what runs.
func (n *node) close() {
	if n.process != nil {
		n.daemon.kill()
	}
	if n.nats == nil {
		return
	}
	if n.nats.process != nil {
		n.nats.end(syscall.SIGKILL)
	}
	if n.nats.conn != nil {
		n.nats.conn.Close()
	}
}
