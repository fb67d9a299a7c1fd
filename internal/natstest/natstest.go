// Package natstest runs NATS servers for tests, each in a process of its own that can be killed and stopped.
package natstest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// serverVariable holds the options of the NATS server that this binary is started as: what is killed and stopped
// in these tests is a process.
const serverVariable = "BUSBAR_TEST_NATS_SERVER"

// programVariable names a test binary with such a TestMain that scripts/race has built without the race detector, which
// would look at nothing but NATS there and take several times the CPU.
const programVariable = "BUSBAR_TEST_NATS"

var ready bool // the binary serves when it is asked to

// Main is a package's TestMain.
func Main(m *testing.M) {
	ready = true
	if options := os.Getenv(serverVariable); options != "" {
		os.Exit(serve(options))
	}
	leaks.Main(m)
}

// serverOptions are what differs between servers.
type serverOptions struct {
	Name, StoreDir, Routes string
	Port, ClusterPort      int // without a ClusterPort it isn't clustered
}

func serve(text string) int {
	var given serverOptions
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o := server.Options{
		Host: "127.0.0.1", Port: given.Port, ServerName: given.Name, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: given.StoreDir, SyncAlways: given.ClusterPort != 0, JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 1 << 20,
	}
	if given.ClusterPort != 0 {
		o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: given.ClusterPort}
		o.Routes = server.RoutesFromStr(given.Routes)
	}
	s, err := server.NewServer(&o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the test, however that does
		os.Exit(2)
	}()
	s.Start()
	s.WaitForShutdown()
	return 0
}

// Node is a NATS server in a process of its own.
type Node struct {
	t       testing.TB
	options serverOptions
	process *exec.Cmd
	stdin   io.Closer
}

// Start starts it, again if it was killed.
func (n *Node) Start() {
	n.t.Helper()
	text, err := json.Marshal(n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	n.process = exec.Command(cmp.Or(os.Getenv(programVariable), os.Args[0]))
	n.process.Env = append(os.Environ(), serverVariable+"="+string(text), "GOMAXPROCS=1", "GOCOVERDIR="+n.options.StoreDir)
	n.process.Stderr = os.Stderr
	if n.stdin, err = n.process.StdinPipe(); err != nil {
		n.t.Fatal(err)
	}
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *Node) signal(s os.Signal) {
	n.t.Helper()
	if err := n.process.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// Kill is kill -9.
func (n *Node) Kill() {
	_ = n.process.Process.Kill()
	_ = n.process.Wait()
	_ = n.stdin.Close()
}

// PID is that of the process.
func (n *Node) PID() int { return n.process.Process.Pid }

// Pause has it stand still, as a host that hangs does.
func (n *Node) Pause() { n.signal(syscall.SIGSTOP) }
func (n *Node) GoOn()  { n.signal(syscall.SIGCONT) }

// Cluster are NATS servers; one of them isn't clustered.
type Cluster struct {
	t     testing.TB
	Nodes []*Node
}

// InMemory is a folder that needs no disk, if there is such: what a batch costs on one is a file or two.
func InMemory(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "busbar-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Start starts servers that store below a folder.
func Start(t testing.TB, size int, dir string) *Cluster {
	t.Helper()
	if !ready { // or it would run its tests, which start it
		t.Fatal("the package's TestMain has to call natstest.Main")
	}
	c := &Cluster{t: t}
	var ports []int
	for range 2 * size {
		ports = append(ports, wstest.FreePort(t))
	}
	var routes []string
	for _, port := range ports[size:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	for i := range size {
		o := serverOptions{Name: fmt.Sprintf("n%d", i), StoreDir: filepath.Join(dir, fmt.Sprint(i)), Port: ports[i]}
		if size > 1 {
			o.ClusterPort, o.Routes = ports[size+i], strings.Join(routes, ",")
		}
		n := &Node{t: t, options: o}
		n.Start()
		t.Cleanup(n.Kill)
		c.Nodes = append(c.Nodes, n)
	}
	return c
}

// BackUp keeps what all servers have, which are killed and started for that.
func (c *Cluster) BackUp() { c.exchange("", ".backup") }

// Restore has them go back to that.
func (c *Cluster) Restore() { c.exchange(".backup", "") }

func (c *Cluster) exchange(from, to string) {
	c.t.Helper()
	for _, n := range c.Nodes {
		n.Kill()
	}
	for _, n := range c.Nodes {
		dir := n.options.StoreDir
		if err := errors.Join(os.RemoveAll(dir+to), os.CopyFS(dir+to, os.DirFS(dir+from))); err != nil {
			c.t.Fatal(err)
		}
		n.Start()
	}
}

// Servers are URLs, which begin with node first.
func (c *Cluster) Servers(first int) string {
	var urls []string
	for i := range c.Nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", c.Nodes[(first+i)%len(c.Nodes)].options.Port))
	}
	return strings.Join(urls, ",")
}

// Leader is the node that leads a stream.
func (c *Cluster) Leader(stream jetstream.Stream) *Node {
	c.t.Helper()
	var name string
	wstest.Eventually(c.t, "the stream has a leader", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
		defer cancel()
		info, err := stream.Info(ctx)
		if err != nil || info.Cluster == nil {
			return false
		}
		name = info.Cluster.Leader
		return name != ""
	})
	for _, n := range c.Nodes {
		if n.options.Name == name {
			return n
		}
	}
	c.t.Fatalf("no node is called %q", name)
	return nil
}
