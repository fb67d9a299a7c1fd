//go:build !race && !racedaemon

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	nats "github.com/nats-io/nats-server/v2/server"
)

// docs/cluster.md: a log moves to NATS and back with its rows, and clients go on with their cursors.
func TestLogCopy(t *testing.T) {
	t.Parallel()
	address, _ := startNATS(t, t.TempDir(), nats.RANDOM_PORT)
	d := startDaemon(t)
	seqs := []uint64{d.publish("1"), d.publish("2")}
	servers := []string{"BUSBAR_NATS=nats://busbar:" + natsPassword + "@" + address}
	dataCopy := func(from, to, dir string) commandOutcome {
		return runCommand("", servers, "log", "copy", from, to, "-data", dir, "-nats-replicas", "1")
	}
	// goesOn: a client that had the first of the last two gets the second, and what comes now.
	goesOn := func(d *daemon) {
		t.Helper()
		c := startGoClient(t, d.url(fmt.Sprintf("?since=%d", seqs[len(seqs)-2])), d.session("alice"), "header")
		seqs = append(seqs, d.publish(fmt.Sprint(len(seqs))))
		for _, want := range seqs[len(seqs)-2:] {
			if m := parse(c.wait(soon, "message with a seq", func(e clientEvent) bool { return parse(e).Seq != 0 })); m.Seq != want || m.Type != "" {
				t.Errorf("got %+v, want %d", m, want)
			}
		}
	}
	rows := map[string]string{"d_1": "one", "large": strings.Repeat("x", 2<<20)}
	putRow := func(d *daemon, row string) {
		t.Helper()
		if r := d.call("PUT", "/v1/rows/Doc/"+row, d.admin, rows[row]); r.status != 204 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	hasRows := func(d *daemon) {
		t.Helper()
		c := d.connect(d.session("bob"))
		for row, payload := range rows {
			c.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"` + row + `"}`)
			wantFrame(t, c, 0x10, "Doc", row, payload)
		}
	}
	putRow(d, "d_1")
	putRow(d, "large")
	dataCopy(logDisk, logNATS, d.dir).want(t, exitFailure, "another busbar serves from")
	d.stop()
	o := dataCopy(logDisk, logNATS, d.dir)
	o.want(t, exitOK)
	if want := fmt.Sprintf("2 events were copied, with seqs from %d to %d, and 2 rows\n", seqs[0], seqs[1]); o.out != want {
		t.Errorf("printed %q, want %q", o.out, want)
	}
	dataCopy(logDisk, logNATS, d.dir).want(t, exitFailure, "there is no change log")
	if _, log, code := (launch{args: []string{"-data", d.dir}}).run(t); code != exitFailure || !strings.Contains(log, "changes.db.moved") {
		t.Errorf("a server on the disk: %d %s", code, log)
	}
	on := launch{args: []string{"-log", "nats", "-nats-replicas", "1", "-data", d.dir}, env: servers}.start(t)
	on.secret = append(on.secret, natsPassword)
	goesOn(on)
	hasRows(on)
	rows["d_1"], rows["d_2"] = "two", "2"
	putRow(on, "d_1")
	putRow(on, "d_2")

	o = runCommand("", servers, "log", "bump", "nats", "-nats-replicas", "1", "-data", t.TempDir())
	o.want(t, exitOK)
	var events int
	var last uint64
	if _, err := fmt.Sscanf(o.out, "%d events were let go of; sequence numbers go on above %d", &events, &last); err != nil || events != len(seqs) {
		t.Errorf("printed %s", o.out)
	}
	if seq := on.publish("above"); seq != last+1 {
		t.Errorf("the next is %d, want %d", seq, last+1)
	}
	on.wantResync(on.session("alice"), seqs[0], last+1, last+1)
	seqs = append(seqs, last+1, on.publish("behind"))
	dataCopy(logNATS, logDisk, on.dir).want(t, exitFailure, "another busbar serves from")
	on.stop()
	dataCopy(logNATS, logDisk, on.dir).want(t, exitOK)
	d = d.restart()
	goesOn(d)
	hasRows(d)

	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "changes.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dataCopy(logNATS, logDisk, other).want(t, exitFailure, "there is a change log")
	dataCopy(logNATS, logMemory, other).want(t, exitUsage, "from where and to where")
	if o := runCommand("", nil, "log", "copy", "-help"); o.code != exitOK || o.out == "" {
		t.Errorf("%+v", o)
	}
}
