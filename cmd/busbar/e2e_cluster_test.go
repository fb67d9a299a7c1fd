//go:build !race && !racedaemon

package main

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// docs/cluster.md: three nodes that are a NATS cluster themselves, with a log that was on a disk. Each is stopped in
// turn: publishers needn't wait for an election, and nothing is lost.
func TestNodesWithNATSInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var secrets []string // one, as three editors write it
	for i, text := range []string{"cluster-s3cret\n", "\ufeffcluster-s3cret\r\n", "cluster-s3cret \n\n"} {
		secrets = append(secrets, makeFile(t, filepath.Join(dir, fmt.Sprint("secret", i)), text, 0o600))
	}
	certificate := filepath.Join(dir, "node.pem") // and key
	writeCertificate(t, certificate, x509.NewCertPool())
	var routes []string
	for range 3 {
		routes = append(routes, wstest.FreeAddress(t))
	}
	flags := func(i int) []string {
		return []string{"-data", filepath.Join(dir, fmt.Sprint(i)), "-log", "nats", "-node", fmt.Sprint(i), "-cluster-listen", routes[i],
			"-cluster-routes", strings.Join(routes, ","), "-cluster-secret-file", secrets[i],
			"-cluster-ca", certificate, "-cluster-cert", certificate, "-cluster-key", certificate, "-log-bytes", "64MiB"}
	}
	start := func(i int) *daemon {
		d := startDaemon(t, flags(i)...)
		d.secret = append(d.secret, "cluster-s3cret")
		return d
	}
	nodes := make([]*daemon, 3)
	single := startDaemon(t, "-data", filepath.Join(dir, "0"))
	want := []uint64{single.publish("first")}
	single.stop()
	copied := launch{args: append([]string{"log", "copy", "disk", "nats"}, flags(0)...)}.command()
	said := newOutput()
	copied.Stderr = said
	if err := copied.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = copied.Process.Kill() })
	eventually(t, "the copy waits for other nodes", func() bool { return strings.Contains(said.String(), "waiting for NATS") })
	var starting sync.WaitGroup
	for i := range nodes[1:] { // each waits for another
		starting.Go(func() { nodes[1+i] = start(1 + i) })
	}
	if err := copied.Wait(); err != nil {
		t.Fatalf("copying: %v; %s", err, said)
	}
	nodes[0] = start(0)
	starting.Wait()
	if slices.Contains(nodes, nil) {
		t.FailNow()
	}
	for i := range nodes {
		other := nodes[(i+1)%3]
		client := other.connect(other.session("alice"))
		nodes[i].stop()
		want = append(want, other.publish(fmt.Sprint("without ", i)))
		if m := waitChange(client); m.Seq != want[len(want)-1] {
			t.Errorf("got %d, want %d", m.Seq, want[len(want)-1])
		}
		nodes[i] = start(i)
		want = append(want, nodes[i].publish(fmt.Sprint("with ", i)))
	}
	for i, d := range nodes {
		eventually(t, fmt.Sprintf("node %d has all", i), func() bool {
			var got []uint64
			for _, e := range d.pull(0) {
				got = append(got, e.Seq)
			}
			return slices.Equal(got, want)
		})
	}
	session := nodes[1].session("alice")
	nodes[0].stop() // log bump takes its place
	bumped := runCommand("", nil, append([]string{"log", "bump", "nats"}, flags(0)...)...)
	bumped.want(t, exitOK)
	var events int
	var last uint64
	if _, err := fmt.Sscanf(bumped.out, "%d events were let go of; sequence numbers go on above %d", &events, &last); err != nil || events != len(want) {
		t.Errorf("printed %s, and there were %d", bumped.out, len(want))
	}
	if r := nodes[2].call("GET", "/api/sync/pull?since=0", session, ""); r.status != 401 {
		t.Errorf("the session isn't ended: %d %s", r.status, r.body)
	}
	nodes[0] = start(0)
	if seq := nodes[0].publish("above"); seq != last+1 {
		t.Errorf("the next is %d, want %d", seq, last+1)
	}
	for i, d := range nodes {
		eventually(t, fmt.Sprintf("node %d has it", i), func() bool { return len(d.pull(last)) == 1 })
		d.wantResync(d.session("alice"), want[0], last+1, last+1)
	}
}
