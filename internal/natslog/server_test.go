package natslog

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// serverVariable holds the options of the NATS server that this binary is started as: what is killed and stopped
// in these tests is a process.
const serverVariable = "BUSBAR_TEST_NATS_SERVER"

func TestMain(m *testing.M) {
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

// node is a NATS server in a process of its own.
type node struct {
	t       testing.TB
	options serverOptions
	process *exec.Cmd
	stdin   io.Closer
}

func (n *node) start() {
	n.t.Helper()
	text, err := json.Marshal(n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	n.process = exec.Command(os.Args[0])
	n.process.Env = append(os.Environ(), serverVariable+"="+string(text), "GOMAXPROCS=1", "GOCOVERDIR="+n.options.StoreDir)
	n.process.Stderr = os.Stderr
	if n.stdin, err = n.process.StdinPipe(); err != nil {
		n.t.Fatal(err)
	}
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) signal(s os.Signal) {
	n.t.Helper()
	if err := n.process.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// kill is kill -9.
func (n *node) kill() {
	_ = n.process.Process.Kill()
	_ = n.process.Wait()
	_ = n.stdin.Close()
}

// pause has it stand still, as a host that hangs does.
func (n *node) pause() { n.signal(syscall.SIGSTOP) }
func (n *node) goOn()  { n.signal(syscall.SIGCONT) }

// cluster are NATS servers; one of them isn't clustered.
type cluster struct {
	t     testing.TB
	nodes []*node
}

// inMemory is a folder that needs no disk, if there is such: what a batch costs on one is a file or two.
func inMemory(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "busbar-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startCluster(t testing.TB, size int, dir string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	ports := freePorts(t, 2*size)
	var routes []string
	for _, port := range ports[size:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	for i := range size {
		o := serverOptions{Name: fmt.Sprintf("n%d", i), StoreDir: filepath.Join(dir, fmt.Sprint(i)), Port: ports[i]}
		if size > 1 {
			o.ClusterPort, o.Routes = ports[size+i], strings.Join(routes, ",")
		}
		n := &node{t: t, options: o}
		n.start()
		t.Cleanup(n.kill)
		c.nodes = append(c.nodes, n)
	}
	return c
}

func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// servers begin with node first.
func (c *cluster) servers(first int) string {
	var urls []string
	for i := range c.nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", c.nodes[(first+i)%len(c.nodes)].options.Port))
	}
	return strings.Join(urls, ",")
}

// leader is the node that the stream's leader is.
func (c *cluster) leader(l *Log) *node {
	c.t.Helper()
	var name string
	wstest.Eventually(c.t, "the stream has a leader", func() bool {
		info, err := l.stream.Info(within(c.t))
		if err != nil || info.Cluster == nil {
			return false
		}
		name = info.Cluster.Leader
		return name != ""
	})
	for _, n := range c.nodes {
		if n.options.Name == name {
			return n
		}
	}
	c.t.Fatalf("no node is called %q", name)
	return nil
}

func (c *cluster) options(first int) Options {
	replicas := 1
	if len(c.nodes) > 1 {
		replicas = 3
	}
	return Options{
		Servers: c.servers(first), Stream: "test", Replicas: replicas, MaxEvents: 1 << 20, MaxBytes: 1 << 30,
		TailBytes: 25_000, PublishTimeout: 20 * time.Second,
		Logger: slog.New(slog.NewTextHandler(c.t.Output(), nil)),
	}
}
