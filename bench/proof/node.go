package proof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/procfs"

	"github.com/busbar-ws/busbar/bench/runner"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

const clusterNodes = 3

// node is a host with a server's process, and perhaps a NATS server: what fails there fails together. Owned by one
// goroutine, but for calls and connections.
type node struct {
	process
	dir     string // the data directory, as the server sees it
	ws, api string // host:port
	shared  bool   // its log is on NATS, and may be busy, which pulls are told
	http    *http.Client
	admin   string

	nats   *process      // nil: there is none beside the server
	conn   *nats.Conn    // to that, of those who publish there; safe from any goroutine
	away   atomic.Bool   // clients and publishers needn't go there
	starts *atomic.Int64 // how many there were
}

// layout says what a stage is made of.
type layout struct {
	nodes    int
	external bool   // NATS runs beside the nodes
	cabled   bool   // each node has a network of its own
	rolling  bool   // one node after the other is started again, twice
	quiet    bool   // pings are for clients that are gone for long
	size     string // of the tmpfs that the first node's log is on; "": none
	powered  bool   // it is on a disk whose power can be cut
}

// newNode finds ports and doesn't start anything.
func newNode(program, dir string, args ...string) (*node, error) {
	free, err := runner.FreePorts(runner.OwnLoopback(), runner.OwnLoopback())
	if err != nil {
		return nil, err
	}
	n := &node{dir: dir, ws: free[0], api: free[1], starts: new(atomic.Int64)}
	n.program = append([]string{program, "serve", "-data", dir, "-listen", n.ws, "-api", n.api, "-drain", "5s"}, args...)
	n.log = dir + ".log"
	dial := func(ctx context.Context, _, address string) (net.Conn, error) { return dialIn(ctx, n.network, address) }
	n.http = &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}, Timeout: 2 * time.Minute}
	return n, nil
}

func (s *stage) addNodes(ctx context.Context, args []string) error {
	if s.external && s.o.NATSServer == "" {
		return fmt.Errorf("%w: no program of a NATS server was given", errAbsent)
	}
	count := s.layout.nodes
	addresses, err := runner.FreePorts(slices.Repeat([]string{runner.OwnLoopback()}, 2*count)...)
	if err != nil {
		return err
	}
	routes, servers := addresses[:count], addresses[count:]
	if s.cabled {
		if s.cables, err = newCables(count); err != nil {
			return err
		}
		for i := range count {
			routes[i], servers[i] = cableAddress(i)+":6222", cableAddress(i)+":4222"
		}
	}
	for i := range count {
		more := args
		if count > 1 {
			if more, err = s.clusterArgs(i, routes, servers); err != nil {
				return err
			}
		}
		n, err := newNode(s.o.Program, filepath.Join(s.folder, fmt.Sprint("node", i)), slices.Concat(more, s.o.Args)...)
		if err != nil {
			return err
		}
		s.nodes = append(s.nodes, n)
		n.starts, n.shared = &s.book.starts[0], count > 1
		if n.shared {
			n.starts = &s.book.starts[i+1]
		}
		if s.cabled {
			n.network = s.cables.networks[i]
		} else if i == 0 {
			err = s.mountLog(ctx, n)
		}
		if err == nil && s.external {
			err = n.addNATS(s.o.NATSServer, servers[i], routes[i], routes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mountLog has a node's log on a file system of its own, where the layout says so.
func (s *stage) mountLog(ctx context.Context, n *node) (err error) {
	if s.layout.size == "" && !s.powered {
		return nil
	}
	if s.powered {
		if s.disk, err = makeDisk(ctx, filepath.Join(s.folder, "image")); err != nil {
			return err
		}
	}
	if s.room, err = newRoom(); err != nil {
		return err
	}
	n.room = s.room
	if s.powered {
		return n.room.mount(ctx, "ext4", s.disk.Name(), "rw", n.dir)
	}
	return n.room.mount(ctx, "tmpfs", "tmpfs", "mode=0700,size="+s.layout.size, s.logFolder(n))
}

// logFolder is where the node's copy of the change log is.
func (s *stage) logFolder(n *node) string {
	if s.external {
		return n.dir + "-nats"
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

// addNATS puts a NATS server beside the node. The connection is there whenever that is.
func (n *node) addNATS(program, listen, route string, routes []string) (err error) {
	store := n.dir + "-nats"
	text := fmt.Sprintf(natsConfig, filepath.Base(store), listen, store, route, `"nats://`+strings.Join(routes, `", "nats://`)+`"`)
	if err := os.WriteFile(store+".conf", []byte(text), 0o600); err != nil {
		return err
	}
	n.nats = &process{program: []string{program, "-c", store + ".conf"}, log: store + ".log", room: n.room, network: n.network}
	dialer := &natsconn.Dialer{By: func(_, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(context.Background(), attempt)
		defer cancel()
		return dialIn(ctx, n.network, address)
	}}
	n.conn, err = nats.Connect("nats://"+listen, nats.SetCustomDialer(dialer), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectBufSize(-1), nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2))
	return err
}

// request has a node publish changes by NATS, whichever takes it.
func (n *node) request(ctx context.Context, mime string, body []byte) ([]byte, error) {
	m := nats.NewMsg("busbar.publish")
	m.Header.Set("Content-Type", mime)
	m.Data = body
	answer, err := n.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("publishing over NATS: %w", err)
	}
	if status, _ := strconv.Atoi(answer.Header.Get("Busbar-Status")); status/100 != 2 {
		return nil, &refusal{status, string(answer.Data)}
	}
	return answer.Data, nil
}

// path is a file in the data directory, from this process's point of view.
func (n *node) path(name string) string { return n.room.path(filepath.Join(n.dir, name)) }

// start is over when the server is ready.
func (n *node) start(ctx context.Context) error {
	n.starts.Add(1)
	if n.nats != nil {
		if err := n.nats.launch(); err != nil {
			return err
		}
	}
	err := n.launch()
	if err == nil {
		err = n.awaitReady(ctx)
	}
	if err == nil && n.admin == "" { // a new start doesn't make another one, and callers read it
		var token []byte
		token, err = os.ReadFile(n.path("admin-token"))
		n.admin = strings.TrimSpace(string(token))
	}
	if err != nil {
		_ = n.kill()
		text, _ := n.said()
		return fmt.Errorf("starting busbar: %w%s", err, text)
	}
	return nil
}

func (n *node) awaitReady(ctx context.Context) error {
	most := patience
	if n.shared { // it reads what it missed first
		most = 8 * patience
	}
	err := poll(ctx, most, 5*time.Millisecond, func() (bool, error) {
		select {
		case <-n.ended:
			return false, fmt.Errorf("it has ended, %v", n.ProcessState)
		default:
		}
		r, err := n.http.Get("http://" + n.api + "/readyz")
		if err != nil {
			return false, nil
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for it to be ready: %w", err)
	}
	return nil
}

func (n *node) processes() []*process {
	if n.nats == nil {
		return []*process{&n.process}
	}
	return []*process{&n.process, n.nats}
}

func (n *node) signal(how syscall.Signal) (err error) {
	for _, p := range n.processes() {
		if p.Cmd != nil && p.Process != nil {
			err = errors.Join(err, p.Process.Signal(how))
		}
	}
	return err
}

// awaitStopped returns when none of its threads runs any more after SIGSTOP: what one of them has just begun, a token's
// look-up for example, would have its time run out meanwhile.
func (n *node) awaitStopped(ctx context.Context) error {
	return poll(ctx, patience, time.Millisecond, func() (bool, error) {
		threads, err := procfs.AllThreads(n.pid())
		for _, t := range threads {
			if stat, err := t.Stat(); err != nil || stat.State != "T" {
				return false, err
			}
		}
		return err == nil, err
	})
}

// kill ends it as a power cut would.
func (n *node) kill() error {
	_ = n.signal(syscall.SIGKILL)
	for _, p := range n.processes() {
		p.end(syscall.SIGKILL)
	}
	n.http.CloseIdleConnections()
	return nil
}

// stop ends it as systemd does, and wants exit code 0 and nothing alarming in the log.
func (n *node) stop() error {
	n.http.CloseIdleConnections()
	defer n.nats.end(syscall.SIGTERM)
	forced := n.end(syscall.SIGTERM)
	text, alarm := n.said()
	if forced || n.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("%w: %v, at most %v after SIGTERM%s", errUnorderly, n.ProcessState, patience, text)
	}
	return alarm
}

// close ends what runs.
func (n *node) close() {
	_ = n.kill()
	if n.conn != nil {
		n.conn.Close()
	}
}
