package natsnode

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/natslog"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestMain(m *testing.M) {
	leaks.Main(m)
}

// nodes are three of them and their logs.
type nodes struct {
	t       *testing.T
	options []Options
	running []*Node
	logs    []*natslog.Log

	mu  sync.Mutex
	had [][]uint64
}

func freeAddresses(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for range n {
		addresses = append(addresses, wstest.FreeAddress(t))
	}
	return addresses
}

func (n *nodes) start(i int) {
	n.t.Helper()
	node, err := Start(n.options[i])
	if err != nil {
		n.t.Fatal(err)
	}
	n.running[i] = node
}

func (n *nodes) open(i int) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
	defer cancel()
	l, err := natslog.Open(ctx, natslog.Options{
		NATS: []nats.Option{n.running[i].Client()}, Stream: "busbar", Replicas: 3, MaxEvents: 10_000, MaxBytes: 64 << 20,
		TailBytes: 1 << 20, PublishTimeout: 20 * time.Second, Logger: n.options[i].Logger,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.logs[i] = l
	l.Follow(func(entries []hub.Entry) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, e := range entries {
			n.had[i] = append(n.had[i], e.Seq)
		}
	})
}

func (n *nodes) stop(i int) {
	_ = n.logs[i].Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	n.running[i].StepDown(ctx, "busbar")
	_ = n.running[i].Close()
}

func (n *nodes) publish(i int) uint64 {
	n.t.Helper()
	done, err := n.logs[i].Append([]hub.Change{{Entity: "E", RowID: "r", Kind: hub.Delete, Timestamp: "1Z"}})
	if err != nil {
		n.t.Fatal(err)
	}
	return done[0].Seq
}

func newNodes(t *testing.T) *nodes {
	n := &nodes{t: t, running: make([]*Node, 3), logs: make([]*natslog.Log, 3), had: make([][]uint64, 3)}
	addresses, dir := freeAddresses(t, 3), t.TempDir()
	for i, address := range addresses {
		n.options = append(n.options, Options{
			Cluster: "test", Listen: address, Routes: addresses, Secret: "s3cret", Dir: filepath.Join(dir, fmt.Sprint(i)),
			MaxStore: 1 << 30, MaxMessage: 4 << 20, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			removeAfter: time.Second,
		})
		n.start(i)
	}
	for i := range 3 {
		n.open(i)
	}
	return n
}

// What NATS does when a write finds no room (Server.handleOutOfSpace) isn't for good: the node takes part again, so
// that another may stop.
func TestStoresAgainAfterFullDisk(t *testing.T) {
	n := newNodes(t)
	n.publish(0)
	if err := n.running[0].server.Load().ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	n.publish(1)
	wstest.Eventually(t, "it stores again", func() bool { return n.running[0].server.Load().JetStreamEnabled() })
	wstest.Eventually(t, "it has all", func() bool {
		return n.running[0].server.Load().JetStreamIsStreamCurrent(server.DEFAULT_GLOBAL_ACCOUNT, "busbar")
	})
	n.stop(1)
	n.publish(2)
	n.stop(2)
	n.stop(0)
}

// A node that comes back without its data takes the place of the one that it was, so that another may stop. Until it
// is back nothing is taken from it.
func TestNodeThatLostItsData(t *testing.T) {
	n := newNodes(t)
	conn, err := nats.Connect("", n.running[0].Client())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	bucket := jetstream.KeyValueConfig{Bucket: "others", Replicas: 3, Storage: jetstream.FileStorage}
	if _, err := js.CreateKeyValue(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	first := n.publish(0)
	n.stop(2)
	var since time.Time // NATS doesn't know, when it led the cluster
	wstest.Eventually(t, "it is away for long", func() bool {
		away := slices.ContainsFunc(n.peers(), func(p *server.PeerInfo) bool { return p.Offline || !p.Current })
		if away && since.IsZero() {
			since = time.Now()
		}
		return away && time.Since(since) > 3*n.options[0].removeAfter
	})
	if peers := n.peers(); len(peers) != 2 {
		t.Errorf("a node that is away was removed: there are %d others", len(peers))
	}
	if err := os.RemoveAll(n.options[2].Dir); err != nil {
		t.Fatal(err)
	}
	n.start(2)
	n.open(2)
	for _, name := range []string{"busbar", "KV_others"} {
		wstest.Eventually(t, name+" is whole on nodes that are there", func() bool {
			stream, err := js.Stream(t.Context(), name)
			if err != nil {
				return false
			}
			c := stream.CachedInfo().Cluster
			whole := len(c.Replicas) == 2 && c.Leader != ""
			for _, r := range c.Replicas {
				whole = whole && r.Current && !r.Offline
			}
			return whole
		})
	}
	n.stop(1)
	second := n.publish(2)
	page, err := n.logs[2].Range(context.Background(), 0, 100)
	if err != nil || len(page.Entries) != 2 || page.Entries[0].Seq != first || page.Entries[1].Seq != second {
		t.Errorf("the node that lost its data has %v, want %d and %d; %v", page.Entries, first, second, err)
	}
	conn.Close()
	n.stop(2)
	n.stop(0)
}

// peers are what the node that leads the cluster says of the others.
func (n *nodes) peers() []*server.PeerInfo {
	for _, node := range n.running {
		if info, err := node.server.Load().Jsz(nil); err == nil && info.Meta != nil && info.Meta.Leader == node.server.Load().Name() {
			return info.Meta.Replicas
		}
	}
	return nil
}

// Three processes' worth of nodes make a cluster; each is stopped and started again while others publish.
func TestRollingRestart(t *testing.T) {
	n := newNodes(t)
	var published []uint64
	for i := range 3 {
		published = append(published, n.publish(i))
	}
	for i := range 3 {
		other := (i + 1) % 3
		n.stop(i)
		began := time.Now()
		published = append(published, n.publish(other))
		t.Logf("a publish after node %d was stopped took %v", i, time.Since(began))
		n.start(i)
		n.open(i)
		published = append(published, n.publish(i))
	}
	for i := range 3 {
		wstest.Eventually(t, "all has come", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return len(n.had[i]) > 0 && n.had[i][len(n.had[i])-1] == published[len(published)-1]
		})
	}
	page, err := n.logs[0].Range(context.Background(), 0, 100)
	var stored []uint64
	for _, e := range page.Entries {
		stored = append(stored, e.Seq)
	}
	if err != nil || !slices.Equal(stored, published) {
		t.Errorf("stored %v, published %v, %v", stored, published, err)
	}
	for i := range 3 {
		n.stop(i)
	}
}

// A port that is taken is said so at once.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(Options{Cluster: "c", Listen: l.Addr().String(), Dir: t.TempDir(), MaxStore: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Error(err)
	}
}

// Nodes that share a host's name have names of their own, each the same after a restart.
func TestNodeNames(t *testing.T) {
	names := map[string]bool{}
	for range 3 {
		o := Options{Dir: filepath.Join(t.TempDir(), "nats"), Logger: slog.New(slog.DiscardHandler)}
		name, err := o.name()
		again, errAgain := o.name()
		if err != nil || errAgain != nil || again != name {
			t.Errorf("%q, %v; then %q, %v", name, err, again, errAgain)
		}
		names[name] = true
	}
	if len(names) != 3 {
		t.Errorf("three nodes are named %v", names)
	}
}

// A node with another secret tries again and again: what it should have is said, and not each time.
func TestOtherSecret(t *testing.T) {
	addresses, dir := freeAddresses(t, 2), t.TempDir()
	var said wstest.Text
	for i, secret := range []string{"right", "wrong"} {
		node, err := Start(Options{
			Cluster: "test", Listen: addresses[i], Routes: addresses, Secret: secret, Dir: filepath.Join(dir, secret),
			MaxStore: 1 << 30, MaxMessage: 4 << 20, Logger: slog.New(slog.NewTextHandler(&said, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = node.Close() })
	}
	wstest.Eventually(t, "the log says what is wrong", func() bool { return strings.Contains(said.String(), "need the same secret") })
	if strings.Contains(said.String(), "Plaintext") {
		t.Error(said.String())
	}
}

func TestRepeatedLines(t *testing.T) {
	var said wstest.Text
	l := &logger{Logger: slog.New(slog.NewTextHandler(&said, nil))}
	for i := range 10_000 {
		l.Errorf("can't reach %d", i)
	}
	l.Errorf("something else")
	if n := strings.Count(said.String(), "reach"); n < 1 || n > 20 || !strings.Contains(said.String(), "something else") {
		t.Errorf("%d of 10,000 were written", n)
	}
}
