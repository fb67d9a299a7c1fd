package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"
)

const clusterNodes = 3

// cluster is three nodes on one change log, with clients and publishers at all of them. Its methods are for one
// goroutine.
type cluster struct {
	o      *ChaosOptions
	folder string
	book   *Book
	nodes  []*node
	cables *cables // nil: all are on this process's network
	secret []byte  // that tokens are signed with

	clients    []*roamer
	publishers []*publisher
	load       func() error // ends it
	enough     atomic.Bool  // changes were published: clients that are behind may get what there is
	clientLife sync.WaitGroup
	leave      context.CancelFunc // has the clients end
}

// node is a host: what fails there fails together.
type node struct {
	*daemon
	nats *natsServer // nil: NATS runs inside of the daemon
	away atomic.Bool // clients and publishers needn't go there

	starts *atomic.Int64 // how many there were
}

// natsServer is a process. Owned by one goroutine, but for what says otherwise.
type natsServer struct {
	program []string // and its arguments
	mounts  bool
	cmd     *exec.Cmd
	log     *tail // safe from any goroutine
	exited  chan struct{}
	conn    *nats.Conn // of those who publish there; safe from any goroutine
}

// layout says what a cluster is made of.
type layout struct {
	external bool // NATS runs beside the nodes
	cabled   bool // each node has a network of its own
	small    int  // the node whose log has a small disk, from 1 on; 0: none
}

// smallDisk has room for what a run stores, more than once.
const smallDisk = "mode=0700,size=512m"

func (o *ChaosOptions) newCluster(folder string, l layout) (*cluster, error) {
	c := &cluster{o: o, folder: folder, book: clusterStreams(l.external), secret: []byte("the nodes of chaos share this secret"), leave: func() {}}
	if l.external && o.NATSServer == "" {
		return nil, fmt.Errorf("%w: no program of a NATS server was given", errAbsent)
	}
	var err error
	if l.cabled {
		if c.cables, err = newCables(clusterNodes); err != nil {
			return nil, err
		}
	}
	if err := c.addNodes(l); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cluster) addNodes(l layout) error {
	routes, err := freeAddresses(clusterNodes)
	if err != nil {
		return err
	}
	servers, err := freeAddresses(clusterNodes)
	if err != nil {
		return err
	}
	if c.cables != nil {
		for i := range clusterNodes {
			routes[i], servers[i] = cableAddress(i)+":6222", cableAddress(i)+":4222"
		}
	}
	secret, key := filepath.Join(c.folder, "secret"), filepath.Join(c.folder, "key")
	if err := errors.Join(os.WriteFile(secret, []byte("between nodes"), 0o600), os.WriteFile(key, c.secret, 0o600)); err != nil {
		return err
	}
	for i := range clusterNodes {
		args := []string{"-log", "nats", "-node", fmt.Sprint(i + 1), "-log-tail", "1MiB", "-auth", "jwt", "-jwt-key", key}
		if l.external {
			args = append(args, "-nats", "nats://"+strings.Join(servers, ",nats://"), "-nats-publish")
		} else {
			args = append(args, "-cluster-listen", routes[i], "-cluster-routes", strings.Join(routes, ","), "-cluster-secret-file", secret)
		}
		d, err := newDaemon(c.o.Program, filepath.Join(c.folder, fmt.Sprint("node", i)), append(args, c.o.Args...)...)
		if err != nil {
			return err
		}
		d.shared = true
		n := &node{daemon: d, starts: &c.book.starts[i+1]}
		if l.external {
			if n.nats, err = newNATSServer(c.o.NATSServer, filepath.Join(c.folder, fmt.Sprint("nats", i)), servers[i], routes[i], routes); err != nil {
				return err
			}
		}
		switch {
		case l.small != i+1:
		case l.external:
			n.nats.mounts, n.nats.program = true, slices.Concat(c.o.Self, []string{"mounted", n.nats.store(), "tmpfs", smallDisk}, n.nats.program)
		default:
			c.o.mountedFrom(d, "tmpfs", smallDisk)
		}
		if c.cables != nil {
			d.network = c.cables.nodes[i]
			on := slices.Concat(c.o.Self, []string{"on-network", pathOf(d.network)})
			d.program = slices.Concat(on, d.program)
			if n.nats != nil {
				n.nats.program = slices.Concat(on, n.nats.program)
			}
		}
		c.nodes = append(c.nodes, n)
		if n.nats != nil {
			if err := n.nats.connect(servers[i], d.network); err != nil {
				return err
			}
		}
	}
	return nil
}

// natsConfig is what is said to be needed in docs/cluster.md.
const natsConfig = `server_name: %q
listen: %q
jetstream { store_dir: %q, sync_interval: always, max_file: 10GB }
cluster { name: chaos, listen: %q, routes: [%s], no_advertise: true, ping_interval: "2s", ping_max: 2 }
`

func newNATSServer(program, folder, listen, route string, routes []string) (*natsServer, error) {
	file := folder + ".conf"
	text := fmt.Sprintf(natsConfig, filepath.Base(folder), listen, folder, route, `"nats://`+strings.Join(routes, `", "nats://`)+`"`)
	return &natsServer{program: []string{program, "-c", file}, log: &tail{}}, os.WriteFile(file, []byte(text), 0o600)
}

// connect is over at once, and the connection is there whenever the server is.
func (s *natsServer) connect(address string, network *os.File) (err error) {
	s.conn, err = nats.Connect("nats://"+address, nats.SetCustomDialer(onNetwork{network}), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
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

// store is the folder of what it stores.
func (s *natsServer) store() string {
	return strings.TrimSuffix(s.program[len(s.program)-1], ".conf")
}

func (s *natsServer) start() (err error) {
	s.cmd = exec.Command(s.program[0], s.program[1:]...) //nolint:gosec // what the user asked for
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if s.mounts {
		ownMounts(s.cmd.SysProcAttr)
	}
	if s.exited, err = spawn(s.cmd); err != nil {
		return fmt.Errorf("starting a NATS server: %w", err)
	}
	return nil
}

// entered waits until the program runs that was started by way of others, which stand where it is to run.
func (s *natsServer) entered() error {
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid)); err != nil || strings.HasPrefix(string(text), s.program[len(s.program)-3]) {
			return err
		}
	}
	return errors.New("the NATS server doesn't start")
}

// end waits until it has ended.
func (s *natsServer) end(how syscall.Signal) {
	_ = s.cmd.Process.Signal(how)
	force := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	defer force.Stop()
	<-s.exited
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

func (n *node) kill() {
	if n.nats != nil {
		_ = n.nats.cmd.Process.Kill()
	}
	n.daemon.kill()
	if n.nats != nil {
		<-n.nats.exited
	}
}

func (n *node) stop() error {
	err := n.daemon.stop()
	if n.nats != nil {
		n.nats.end(syscall.SIGTERM)
	}
	return err
}

func (n *node) signal(s syscall.Signal) error {
	err := n.cmd.Process.Signal(s)
	if n.nats != nil {
		err = errors.Join(err, n.nats.cmd.Process.Signal(s))
	}
	return err
}

// logFolder is where the node's copy of the change log is, as this process sees it.
func (n *node) logFolder() string {
	if n.nats != nil {
		return fmt.Sprintf("/proc/%d/root%s", n.nats.cmd.Process.Pid, n.nats.store())
	}
	return n.path("")
}

// startAll starts the nodes at once: each waits for another.
func (c *cluster) startAll(ctx context.Context) error {
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() { errs[i] = n.start(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// close ends what runs.
func (c *cluster) close() {
	for _, n := range c.nodes {
		if n.cmd != nil && n.runs() {
			n.daemon.kill()
		}
		if n.nats != nil && n.nats.cmd != nil && n.nats.cmd.Process != nil {
			n.nats.end(syscall.SIGKILL)
		}
		if n.nats != nil && n.nats.conn != nil {
			n.nats.conn.Close()
		}
	}
	if c.cables != nil {
		c.cables.close()
	}
}

// token is one that all nodes take.
func (c *cluster) token(user string) (string, error) {
	claims := jwt.MapClaims{"sub": user, "exp": time.Now().Add(24 * time.Hour).Unix()}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(c.secret)
}
