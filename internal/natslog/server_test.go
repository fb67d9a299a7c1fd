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

func serve(text string) int {
	var o server.Options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o.NoSigs, o.Routes = true, server.RoutesFromStr(o.RoutesStr)
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
	options server.Options
	process *exec.Cmd
	stdin   io.Closer
}

func (n *node) start() {
	n.t.Helper()
	text, err := json.Marshal(map[string]any{
		"Host": n.options.Host, "Port": n.options.Port, "ServerName": n.options.ServerName, "JetStream": true,
		"StoreDir": n.options.StoreDir, "SyncAlways": true, "JetStreamMaxStore": n.options.JetStreamMaxStore,
		"RoutesStr": n.options.RoutesStr, "MaxPayload": n.options.MaxPayload,
		"Cluster": map[string]any{"Name": n.options.Cluster.Name, "Host": n.options.Cluster.Host, "Port": n.options.Cluster.Port},
	})
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

// cluster are NATS servers; one of them isn't clustered.
type cluster struct {
	t     testing.TB
	nodes []*node
}

func startCluster(t testing.TB, size int) *cluster {
	t.Helper()
	c := &cluster{t: t}
	ports := freePorts(t, 2*size)
	var routes []string
	for _, port := range ports[size:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	for i := range size {
		o := server.Options{
			Host: "127.0.0.1", Port: ports[i], ServerName: fmt.Sprintf("n%d", i), MaxPayload: 1 << 20,
			StoreDir: filepath.Join(t.TempDir(), "js"), JetStreamMaxStore: 1 << 30,
		}
		if size > 1 {
			o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = "test", "127.0.0.1", ports[size+i]
			o.RoutesStr = strings.Join(routes, ",")
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
		if n.options.ServerName == name {
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
		Servers: c.servers(first), Stream: "test", Replicas: replicas, MaxEvents: 1 << 20, MaxBytes: 1 << 28,
		TailEvents: 100, TailBytes: 1 << 20, PublishTimeout: 20 * time.Second,
		Logger: slog.New(slog.NewTextHandler(c.t.Output(), nil)),
	}
}

func (c *cluster) pause(n *node) { n.signal(syscall.SIGSTOP) }
func (c *cluster) goOn(n *node)  { n.signal(syscall.SIGCONT) }
