//go:build !race && !racedaemon

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// backend stands in for one of Pylon's, which numbers its changes itself from 1 on, keeps them, serves pulls and
// pushes, and has Busbar fan out. Safe from any goroutine.
type backend struct {
	t    *testing.T
	http *http.Client

	publishing sync.Mutex // from when changes are numbered until Busbar has them
	busbar     *daemon

	mu      sync.Mutex
	changes []string // events as clients see them
	newest  map[string]int
}

func startBackend(t *testing.T) (b *backend, url string) {
	transport := new(http.Transport)
	b = &backend{t: t, http: &http.Client{Transport: transport, Timeout: soon}, newest: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/sync/push", b.push)
	mux.HandleFunc("GET /api/sync/pull", b.pull)
	mux.HandleFunc("POST /view", b.view)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	t.Cleanup(transport.CloseIdleConnections)
	return b, srv.URL
}

// mutate changes rows in one transaction: pulls see that before Busbar does. It returns the last seq.
func (b *backend) mutate(rows ...string) uint64 {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	var lines bytes.Buffer
	b.mu.Lock()
	for _, row := range rows {
		event := fmt.Sprintf(`{"seq":%d,"entity":"Todo","row_id":%q,"kind":"update","data":{"n":%d},"timestamp":"1Z"}`, len(b.changes)+1, row, len(b.changes)+1)
		b.newest[row] = len(b.changes)
		b.changes = append(b.changes, event)
		fmt.Fprintln(&lines, event)
	}
	last := len(b.changes)
	b.mu.Unlock()
	if b.busbar != nil {
		b.publish(&lines)
	}
	return uint64(last)
}

func (b *backend) publish(lines *bytes.Buffer) {
	r, err := http.NewRequest("POST", "http://"+b.busbar.api+"/v1/changes", lines)
	if err != nil {
		b.t.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+b.busbar.admin)
	r.Header.Set("Content-Type", "application/x-ndjson")
	answer, err := b.http.Do(r)
	if err != nil {
		b.t.Error(err)
		return
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusOK {
		b.t.Errorf("publishing is answered with %s", answer.Status)
	}
}

func (b *backend) push(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Changes []struct {
			RowID string `json:"row_id"`
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var rows []string
	for _, c := range body.Changes {
		rows = append(rows, c.RowID)
	}
	fmt.Fprintf(w, `{"applied":%d,"cursor":{"last_seq":%d}}`, len(rows), b.mutate(rows...))
}

func (b *backend) pull(w http.ResponseWriter, r *http.Request) {
	since, _ := strconv.Atoi(r.FormValue("since"))
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	b.mu.Lock()
	defer b.mu.Unlock()
	to := min(since+limit, len(b.changes))
	fmt.Fprintf(w, `{"changes":[%s],"cursor":{"last_seq":%d},"has_more":%t}`, strings.Join(b.changes[since:to], ","), to, to < len(b.changes))
}

// view is what -snapshot-url asks for.
func (b *backend) view(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(w, "{\"begin\":%d}\n", len(b.changes))
	for _, event := range b.rows() {
		fmt.Fprintln(w, event)
	}
	fmt.Fprintf(w, "{\"end\":%d}\n", len(b.changes))
}

// rows are the last changes of each, oldest first. Call it with mu held.
func (b *backend) rows() (events []string) {
	var newest []int
	for _, i := range b.newest {
		newest = append(newest, i)
	}
	slices.Sort(newest)
	for _, i := range newest {
		events = append(events, b.changes[i])
	}
	return events
}

// wanderer is a client that keeps what it has seen, and where it is. Through the proxy it talks to the backend and
// to Busbar, as Pylon's clients do.
type wanderer struct {
	p      *proxy
	http   *http.Client
	cursor uint64
	seen   []string
}

func (p *proxy) wanderer() *wanderer {
	transport := &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.connect(ctx, "127.0.0.1") }}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &wanderer{p: p, http: &http.Client{Transport: transport, Timeout: soon}}
}

func (c *wanderer) apply(event string) error {
	if seq, ok := seqOf(event); !ok || seq != c.cursor+1 {
		return fmt.Errorf("behind %d: %s", c.cursor, event)
	}
	c.cursor++
	c.seen = append(c.seen, event)
	return nil
}

// pull asks the backend for a page, or for all that there is.
func (c *wanderer) pull(limit int, all bool) error {
	for more := true; more; more = more && all {
		answer, err := c.http.Get(fmt.Sprintf("https://%s/api/sync/pull?since=%d&limit=%d", c.p.addr, c.cursor, limit))
		if err != nil {
			return err
		}
		var page struct {
			Changes []json.RawMessage
			Cursor  struct {
				LastSeq uint64 `json:"last_seq"`
			}
			HasMore bool `json:"has_more"`
		}
		err = json.NewDecoder(answer.Body).Decode(&page)
		answer.Body.Close()
		if err != nil {
			return err
		}
		for _, event := range page.Changes {
			if err := c.apply(string(event)); err != nil {
				return fmt.Errorf("pulled: %w", err)
			}
		}
		if page.Cursor.LastSeq != c.cursor {
			return fmt.Errorf("pulled up to %d, the cursor is %d", c.cursor, page.Cursor.LastSeq)
		}
		more = page.HasMore
	}
	return nil
}

// listen connects to Busbar and stays for some events, or up to the last. It leaves when it is told to pull.
func (c *wanderer) listen(events int, last uint64) (resync bool, err error) {
	ws, err := c.p.dial("127.0.0.1", fmt.Sprint("/api/sync/ws?since=", c.cursor), "token")
	if err != nil {
		return false, err
	}
	defer ws.Close()
	for n := 0; n < events && c.cursor < last; {
		text, err := ws.Text()
		switch {
		case err != nil:
			return false, err
		case strings.HasPrefix(text, `{"type":"resync"`):
			return true, nil
		case strings.HasPrefix(text, `{"type":"presence"`): // another has left
		default:
			if err := c.apply(text); err != nil {
				return false, fmt.Errorf("live: %w", err)
			}
			n++
		}
	}
	return false, nil
}

// wander goes from one to the other until it has everything.
func (c *wanderer) wander(last uint64) error {
	for c.cursor < last {
		if err := c.pull(15, false); err != nil {
			return err
		}
		resync, err := c.listen(15, last)
		if err == nil && resync {
			err = c.pull(100, true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// docs/proxies.md, "A backend beside Busbar": with -seq given a backend goes on to serve pulls and pushes itself. What
// is mutated there is seen live at a thousand clients, and cursors mean the same on both sides.
func TestBackendBesideBusbar(t *testing.T) {
	t.Parallel()
	const before, live, clients, wanderers = 300, 300, 1000, 4
	b, url := startBackend(t)
	for n := range before { // Busbar never hears of these
		b.mutate(fmt.Sprint("row", n%50))
	}
	d := startDaemon(t, "-auth", "none", "-max-per-ip", "0", "-proxy-protocol", "optional", "-trusted-proxies", "127.0.0.1",
		"-seq", "given", "-snapshot-url", url+"/view")
	b.busbar = d
	p := d.startProxy("haproxy", "A backend beside Busbar", map[string]string{"127.0.0.1:3000": strings.TrimPrefix(url, "http://")})

	crowd := make([]*wstest.Raw, clients)
	eachOf(clients, func(i int) {
		var err error
		if crowd[i], err = d.dialFrom("127.0.0.1", "token", ""); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		return
	}
	mutation := strings.NewReader(`{"changes":[{"entity":"Todo","row_id":"row1","kind":"update","data":{}}]}`)
	answer, err := p.wanderer().http.Post("https://"+p.addr+"/api/sync/push", "application/json", mutation)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	eachOf(clients, func(i int) {
		if text, err := crowd[i].Text(); err != nil || text != b.changes[before] {
			t.Errorf("client %d got %s, %v", i, text, err)
		}
		crowd[i].Close()
	})

	const last = before + 1 + live
	var running sync.WaitGroup
	for n := range wanderers {
		running.Go(func() {
			c := p.wanderer()
			if err := c.wander(last); err != nil {
				t.Errorf("client %d: %v", n, err)
				return
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if !slices.Equal(c.seen, b.changes) {
				t.Errorf("client %d has seen something else than there was", n)
			}
		})
	}
	for n := 0; n < live; n += 3 {
		b.mutate(fmt.Sprint("row", n%50), "row2", "row3")
	}
	running.Wait()

	c, err := p.dial("127.0.0.1", "/?since=0", "token")
	if err != nil {
		t.Fatal(err)
	}
	b.mutate("the end")
	for _, want := range b.rows() { // each row, and the end live or as one of them
		text, err := c.Text()
		for strings.HasPrefix(text, `{"type":"presence"`) {
			text, err = c.Text()
		}
		if err != nil || text != want {
			t.Fatalf("a new client got %s, %v, want %s", text, err, want)
		}
	}
}
