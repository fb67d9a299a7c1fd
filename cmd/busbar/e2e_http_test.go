package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
)

// reply is the API's answer to one call.
type reply struct {
	status int
	header http.Header
	body   string
}

// call is one request to the API. An empty token means none, an empty body no Content-Type.
func (d *daemon) call(method, path, token, body string, headers ...string) reply {
	d.t.Helper()
	r, err := d.tryCall(method, path, token, body, headers...)
	if err != nil {
		d.t.Fatalf("%s %s: %v\n%s", method, path, err, d.transcript())
	}
	return r
}

func (d *daemon) tryCall(method, path, token, body string, headers ...string) (reply, error) {
	return d.tryCallAt(d.api, method, path, token, body, headers...)
}

func (d *daemon) tryCallAt(address, method, path, token, body string, headers ...string) (reply, error) {
	r, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	transport := new(http.Transport)
	defer transport.CloseIdleConnections() // or they would be goroutines left behind
	client := http.Client{Transport: transport, Timeout: soon}
	answer, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return reply{}, fmt.Errorf("reading the answer: %w", err)
	}
	return reply{answer.StatusCode, answer.Header, string(text)}, nil
}

// adminCall is a call that has to succeed, with the admin token. The answer goes to into unless that is nil.
func (d *daemon) adminCall(method, path, body string, into any) {
	d.t.Helper()
	r := d.call(method, path, d.admin, body)
	if r.status/100 != 2 {
		d.t.Fatalf("%s %s %s: %d %s", method, path, body, r.status, r.body)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		d.t.Fatalf("%s %s: answer %q: %v", method, path, r.body, err)
	}
}

// publish publishes a change of row and returns its seq.
func (d *daemon) publish(row string) uint64 {
	d.t.Helper()
	var answer struct{ Seq uint64 }
	d.adminCall("POST", "/v1/changes", `{"entity":"Todo","row_id":"`+row+`","kind":"insert","data":{"title":"milk"}}`, &answer)
	return answer.Seq
}

// session makes a session for a user and returns its token.
func (d *daemon) session(user string) string {
	d.t.Helper()
	return d.shortSession(user, 3600)
}

func (d *daemon) shortSession(user string, seconds int) string {
	d.t.Helper()
	var answer struct{ Token string }
	d.adminCall("POST", "/v1/sessions", fmt.Sprintf(`{"user_id":%q,"ttl_seconds":%d}`, user, seconds), &answer)
	d.secret = append(d.secret, answer.Token)
	return answer.Token
}

// metric is a figure from /metrics, 0 when it isn't there.
func (d *daemon) metric(name string) (value float64) {
	d.t.Helper()
	for line := range strings.Lines(d.call("GET", "/metrics", d.admin, "").body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				d.t.Fatalf("metric %q: %v", line, err)
			}
		}
	}
	return value
}

// peakResident is VmHWM of proc_pid_status(5), in bytes.
func (d *daemon) peakResident() int {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		d.t.Fatal(err)
	}
	return n * cli.KiB
}

// docs/protocol.md section 5: a mistake in a body is a 400 that names the field.
func TestAPIErrorsNameTheField(t *testing.T) {
	d := commonDaemon(t)
	before := d.publish("t_1")
	for _, test := range []struct{ method, path, body, field string }{
		{"POST", "/v1/changes", `{"row_id":"1","kind":"insert"}`, "entity"},
		{"POST", "/v1/changes", `{"entity":7,"row_id":"1","kind":"insert"}`, "entity"},
		{"POST", "/v1/changes", `{"entity":"T","kind":"insert"}`, "row_id"},
		{"POST", "/v1/changes", `{"entity":"T","row_id":"1","kind":"upsert"}`, "kind"},
		{"POST", "/v1/changes", `{"entity":"T","row_id":"1","kind":"insert","dta":{}}`, "dta"},
		{"POST", "/v1/changes", `{"entity":"T","row_id":"1","kind":"insert","audience":{"users":[]}}`, "audience.users"},
		{"POST", "/v1/sessions", `{}`, "user_id"},
		{"POST", "/v1/sessions", `{"user_id":"u","ttl_seconds":-1}`, "ttl_seconds"},
		{"GET", "/api/sync/pull?since=x", "", "since"},
	} {
		r := d.call(test.method, test.path, d.admin, test.body)
		var answer struct {
			Error struct{ Code, Message, Field string }
		}
		if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
			t.Errorf("%s %s: answer %q: %v", test.path, test.body, r.body, err)
		}
		if r.status != 400 || answer.Error.Field != test.field || !strings.Contains(answer.Error.Message, test.field) {
			t.Errorf("%s %s: %d %s; want 400 and field %s", test.path, test.body, r.status, r.body, test.field)
		}
	}
	if seq := d.publish("t_1"); seq != before+1 {
		t.Errorf("seq %d behind %d: one of the refused changes is in the log", seq, before)
	}
}

// docs/protocol.md section 1: the WebSocket port tells plain HTTP to upgrade, and load balancers that it lives. docs/protocol.md section 5: the API
// has probes, too.
func TestProbes(t *testing.T) {
	d := commonDaemon(t)
	for url, want := range map[string]int{
		"http://" + d.ws + "/": 426, "http://" + d.ws + "/healthz": 200,
		"http://" + d.api + "/healthz": 200, "http://" + d.api + "/readyz": 200, "http://" + d.api + "/v1/stats": 401,
	} {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: soon}
		answer, err := client.Get(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", url, answer.StatusCode, want)
		}
	}
}

// docs/protocol.md section 5: /metrics shows what happened.
func TestMetricsMove(t *testing.T) {
	d := commonDaemon(t)
	c := d.connect(d.session("alice"))
	const published, relayed = `busbar_messages_published_total{kind="change"}`, `busbar_messages_relayed_total`
	const ignored = `busbar_messages_ignored_total{reason="unknown_type"}`
	before := map[string]float64{published: d.metric(published), relayed: d.metric(relayed), ignored: d.metric(ignored)}
	if clients := d.metric("busbar_clients"); clients != 1 {
		t.Errorf("busbar_clients is %v with one client", clients)
	}
	last := uint64(0)
	for range 3 {
		last = d.publish("t_1")
		waitChange(c)
	}
	c.send(`{"type":"presence"}`)
	waitType(c, "presence")
	c.send(`{"type":"nothing known"}`)
	c.send(`{"type":"presence"}`)
	waitType(c, "presence")
	for name, want := range map[string]float64{
		published: before[published] + 3, relayed: before[relayed] + 2, ignored: before[ignored] + 1,
		`busbar_change_log_last_seq`: float64(last),
	} {
		if got := d.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	c.terminate()
	eventually(t, "busbar_clients at 0", func() bool { return d.metric("busbar_clients") == 0 })
}
