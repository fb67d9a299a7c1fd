//go:build !race && !racedaemon

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// groupFile is a file that bounds a control group, by the version, and what goes into it.
type groupFile struct{ controller, v1, v2, text string }

// controlGroup makes control groups below this process's own, and returns the command that runs another one in them.
// It needs root, as containers do.
func controlGroup(t *testing.T, files ...groupFile) (inside []string) {
	t.Helper()
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[string]string)
	for _, f := range files {
		parent, name := "", f.v2
		for line := range strings.Lines(string(groups)) {
			switch parts := strings.SplitN(strings.TrimSpace(line), ":", 3); {
			case slices.Contains(strings.Split(parts[1], ","), f.controller):
				parent, name = filepath.Join("/sys/fs/cgroup", f.controller, parts[2]), f.v1
			case parts[0] == "0" && parent == "":
				parent = filepath.Join("/sys/fs/cgroup", parts[2])
			}
		}
		if made[parent] == "" {
			if made[parent], err = os.MkdirTemp(parent, "busbar-test-"); err != nil {
				t.Fatalf("making a control group, which takes root and a cgroup file system that is mounted for writing: %v", err)
			}
			t.Cleanup(func() {
				if err := os.Remove(made[parent]); err != nil {
					t.Error(err)
				}
			})
			inside = append(inside, "sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(made[parent], "cgroup.procs"))
		}
		if err := os.WriteFile(filepath.Join(made[parent], name), []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return inside
}

// limitedGroup is a control group with a memory limit.
func limitedGroup(t *testing.T, limit int) (inside []string) {
	t.Helper()
	return controlGroup(t, groupFile{"memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(limit)})
}

// In a container of 256 MiB a server without flags lives, whatever is published: rows, events and
// messages for clients that take none have bounds whose sum is below that.
func TestDefaultsFitAContainer(t *testing.T) {
	t.Parallel()
	const limit = 256 * cli.MiB
	d := launch{inside: limitedGroup(t, limit), args: []string{"-max-per-ip", "0"}}.start(t)
	if n := d.metric("busbar_buffered_max_bytes"); n != limit/4 {
		t.Errorf("-buffer-memory is %v, want a quarter of the memory", n)
	}
	if n := d.metric("go_gc_gomemlimit_bytes"); n != limit/4*3 {
		t.Errorf("Go's memory limit is %v, want three quarters of the memory", n)
	}
	x := &crowd{d: d, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	defer x.http.CloseIdleConnections()
	defer x.leaves()
	token := d.session("alice")
	eachOf(50, func(i int) {
		x.dial(i, wstest.Request("/", "Authorization: Bearer "+token))
	})
	eventually(t, "clients that take nothing", func() bool { return d.metric("busbar_clients") == 50 })
	payload := bytes.Repeat([]byte("x"), 60_000)
	event := fmt.Appendf(nil, `{"entity":"Doc","row_id":"d","kind":"update","data":"%s"}`, payload)
	eachOf(5000, func(i int) { // 300 MB of rows
		if err := x.publish("PUT", fmt.Sprintf("/v1/rows/Doc/d_%d", i), payload); err != nil {
			t.Error(err)
		}
		if i%4 == 0 {
			if err := x.publish("POST", "/v1/changes", event); err != nil {
				t.Error(err)
			}
		}
	})
	if d.metric("busbar_rows_evicted_total") == 0 {
		t.Error("no row had to go: the test shows nothing")
	}
	select {
	case <-d.exited:
		t.Fatalf("it was ended: %v", d.cmd.ProcessState)
	default:
	}
	t.Logf("at most %d MiB resident", d.peakResident()/cli.MiB)
}

// In such a container a server lives whatever names its publishers' objects have, and however many
// publish at once: each name is remembered until its object ends, because none may stand twice.
func TestNamesFitAContainer(t *testing.T) {
	t.Parallel()
	const perBody = 1_200_000
	names := make([]byte, 0, 16*cli.MiB)
	for i := range perBody {
		names = fmt.Appendf(names, `,"%x":[]`, i)
	}
	object := append([]byte(`{"type":"presence"`), append(names, '}')...)
	change := append([]byte(`{"entity":"Doc","row_id":"d","kind":"update","data":`), append(object, '}')...)
	d := launch{inside: limitedGroup(t, 256*cli.MiB)}.start(t)
	x := &crowd{d: d, http: &http.Client{Transport: new(http.Transport)}}
	defer x.http.CloseIdleConnections()
	for path, body := range map[string][]byte{"/v1/presence": object, "/v1/changes": change} {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				_, _, _ = x.call("POST", path, body) // it may be refused
			})
		}
		all.Wait()
		if err := x.publish("POST", path, body); err != nil {
			t.Errorf("%s: one alone: %v, and the server %v", path, err, d.cmd.ProcessState)
		}
	}
	t.Logf("bodies of %d bytes, at most %d MiB resident", len(object), d.peakResident()/cli.MiB)
}

// In such a container a server lives whatever it is asked to fetch from the row service at once,
// by clients that take it and by those that don't.
func TestFetchedRowsFitAContainer(t *testing.T) {
	const rows = 40 // more than twice the container
	snapshot := bytes.Repeat([]byte("x"), 15*cli.MiB)
	var served atomic.Int64
	answer := func(w http.ResponseWriter, chunked bool) {
		defer served.Add(1)
		if !chunked {
			w.Header().Set("Content-Length", fmt.Sprint(len(snapshot)))
		}
		_, _ = w.Write(snapshot) // it may be given up
	}
	services := http.NewServeMux()
	services.HandleFunc("/length", func(w http.ResponseWriter, _ *http.Request) { answer(w, false) })
	services.HandleFunc("/chunks", func(w http.ResponseWriter, _ *http.Request) { answer(w, true) })
	service := httptest.NewServer(services)
	defer service.Close()
	for _, path := range []string{"/length", "/chunks"} {
		t.Run(path, func(t *testing.T) {
			served.Store(0)
			d := launch{inside: limitedGroup(t, 256*cli.MiB), args: []string{"-rows-url", service.URL + path, "-rows-timeout", "1m"}}.start(t)
			subscribe := func(rows int) *wstest.Raw {
				client, err := wstest.DialRaw(t, "", d.ws)
				if err != nil {
					t.Fatal(err)
				}
				start := wstest.Request("/", "Authorization: Bearer "+d.session("alice"))
				for i := range rows {
					start += string(clientText(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d_%d"}`, i)))
				}
				client.Say(start)
				return client
			}
			for _, takes := range []bool{true, false} {
				already := served.Load()
				client, taken := subscribe(rows), make(chan struct{})
				go func() {
					defer close(taken)
					if takes {
						_, _ = io.Copy(io.Discard, client.Conn) // until it is closed, by either side
					}
				}()
				want := int64(1)
				if takes {
					want = rows // and more where memory was short for a moment
				}
				eventually(t, "what it takes is fetched", func() bool { return served.Load() >= already+want })
				client.Close()
				<-taken
			}
			one := subscribe(1)
			defer one.Close()
			if _, err := io.CopyN(io.Discard, one.Conn, int64(len(snapshot))); err != nil {
				t.Errorf("a client that asks for one row: %v, and it %v", err, d.cmd.ProcessState)
			}
			t.Logf("at most %d MiB resident, %v errors", d.peakResident()/cli.MiB, d.metric("busbar_snapshot_errors_total"))
		})
	}
}
