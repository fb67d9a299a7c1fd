package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// publish runs a publish command against the server.
func (r *runningServer) publish(in string, args ...string) commandOutcome {
	args = append([]string{"publish"}, args...)
	return runCommand(in, nil, append(args, "-api", r.api, "-data", r.data)...)
}

func temporaryFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// withoutSeqs has N for them: they begin with the time.
func withoutSeqs(line string) string {
	return regexp.MustCompile(`seq":\d+`).ReplaceAllString(strings.TrimSuffix(line, "\n"), `seq":N`)
}

// docs/protocol.md section 5: each call by its command, and what a client gets of it (docs/protocol.md section 3).
func TestPublishReachesClients(t *testing.T) {
	blob := temporaryFile(t, "raw\x00")
	for _, c := range []struct {
		name, in string
		args     []string
		answer   string // what is printed
		received string // by a client
	}{
		{"change", "", []string{"change", "-entity", "Todo", "-row", "t_1", "-kind", "insert", "-data-json", `{"a":1}`, "-timestamp", "5Z"},
			`{"seq":N}`, `{"seq":N,"entity":"Todo","row_id":"t_1","kind":"insert","data":{"a":1},"timestamp":"5Z"}`},
		{"change with data from standard input", "[2]\n",
			[]string{"change", "-entity", "Todo", "-row", "t_1", "-kind", "update", "-data-json", "-", "-timestamp", "6Z"},
			`{"seq":N}`, `{"seq":N,"entity":"Todo","row_id":"t_1","kind":"update","data":[2],"timestamp":"6Z"}`},
		{"changes", `{"entity":"Todo","row_id":"t_2","kind":"delete","timestamp":"7Z"}`, []string{"changes", "-"},
			`{"first_seq":N,"last_seq":N,"count":1}`, `{"seq":N,"entity":"Todo","row_id":"t_2","kind":"delete","timestamp":"7Z"}`},
		{"presence", "", []string{"presence", `{"type":"presence","x":1}`}, "", `{"type":"presence","x":1}`},
		{"topic", `"hello"`, []string{"topic", "a/b ü", "-"}, "", `{"type":"topic","topic":"a/b ü","data":"hello"}`},
		{"topic .", "", []string{"topic", ".", "1"}, "", `{"type":"topic","topic":".","data":1}`},
		{"topic ..", "", []string{"topic", "..", "1"}, "", `{"type":"topic","topic":"..","data":1}`},
		{"binary", "raw", []string{"binary", "-"}, "", `binary 3 bytes "raw"`},
		{"binary file", "", []string{"binary", blob}, "", `binary 4 bytes "raw\x00"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := sharedServer(t)
			tail := startTail(t, nil, "-url", srv.url, "-data", srv.data, "-count", "1")
			tail.err.waitFor(t, "connected")
			o := srv.publish(c.in, c.args...)
			o.want(t, exitOK)
			if got := withoutSeqs(o.out); got != c.answer {
				t.Errorf("printed %q, want %q", got, c.answer)
			}
			tail.want(t, exitOK)
			if got := withoutSeqs(tail.out.String()); got != c.received {
				t.Errorf("a client got\n     %s\nwant %s", got, c.received)
			}
		})
	}
}

// docs/protocol.md section 5: a row's bytes become its snapshot, or with -update leave that as it was.
func TestPublishRow(t *testing.T) {
	srv := sharedServer(t)
	follow := func() *runningTail {
		tail := startTail(t, nil, "-url", srv.url, "-data", srv.data, "-row", "Todo/t_1")
		tail.out.waitFor(t, `row Todo/t_1 snapshot 5 bytes "whole"`)
		return tail
	}
	srv.publish("whole", "row", "Todo", "t_1", "-").want(t, exitOK)
	first := follow()
	srv.publish("more", "row", "Todo", "t_1", "-", "-update").want(t, exitOK)
	first.out.waitFor(t, `row Todo/t_1 update 4 bytes "more"`)
	second := follow()
	srv.publish("new", "row", "Todo", "t_1", temporaryFile(t, "new")).want(t, exitOK)
	for _, tail := range []*runningTail{first, second} {
		tail.out.waitFor(t, `row Todo/t_1 snapshot 3 bytes "new"`)
	}
	interruptTails(t, first, second)
}

func TestPublishRowNamedByDots(t *testing.T) {
	srv := sharedServer(t)
	srv.publish("dots", "row", "..", ".", "-").want(t, exitOK)
	startTail(t, nil, "-url", srv.url, "-data", srv.data, "-row", "../.", "-count", "1").want(t, exitOK)
}

// docs/protocol.md section 4, 5: a tenant's row isn't another's; nothing tells that it exists.
func TestPublishRowOfATenant(t *testing.T) {
	srv := sharedServer(t)
	srv.publish("secret", "row", "Todo", "1", "-", "-tenant", "acme").want(t, exitOK)
	srv.publish("open", "row", "Todo", "2", "-").want(t, exitOK)
	follow := func(tenant string) *runningTail {
		token := newSessionIn(t, srv.data, "-user", "u", "-tenant", tenant)
		tail := startTail(t, []string{"BUSBAR_TOKEN=" + token}, "-url", srv.url, "-row", "Todo/1", "-row", "Todo/2")
		tail.out.waitFor(t, `"open"`)
		return tail
	}
	own, other := follow("acme"), follow("other")
	own.out.waitFor(t, `"secret"`)
	srv.publish("hidden", "row", "Todo", "1", "-", "-update", "-tenant", "acme").want(t, exitOK)
	srv.publish("shown", "row", "Todo", "2", "-", "-update").want(t, exitOK)
	own.out.waitFor(t, `"hidden"`)
	other.out.waitFor(t, `"shown"`)
	interruptTails(t, own, other)
	if out := other.out.String(); strings.Contains(out, "Todo/1") {
		t.Errorf("a client of another tenant got\n%s", out)
	}
}

// docs/protocol.md section 5: presence and topics of a tenant reach nobody else's clients.
func TestPublishMessagesToATenant(t *testing.T) {
	srv := sharedServer(t)
	srv.publish("open", "row", "Todo", "2", "-").want(t, exitOK)
	follow := func(tenant string) *runningTail {
		token := newSessionIn(t, srv.data, "-user", "u", "-tenant", tenant)
		tail := startTail(t, []string{"BUSBAR_TOKEN=" + token}, "-url", srv.url, "-row", "Todo/2")
		tail.out.waitFor(t, `"open"`)
		return tail
	}
	own, other := follow("acme"), follow("other")
	srv.publish("", "presence", `{"type":"presence","n":"hidden"}`, "-tenant", "acme").want(t, exitOK)
	srv.publish("", "topic", "t", `"hidden too"`, "-tenant", "acme").want(t, exitOK)
	srv.publish("", "topic", "t", `"shown"`).want(t, exitOK)
	for _, want := range []string{"hidden", "hidden too", "shown"} {
		own.out.waitFor(t, `"`+want+`"`)
	}
	other.out.waitFor(t, `"shown"`)
	interruptTails(t, own, other)
	if out := other.out.String(); strings.Contains(out, "hidden") {
		t.Errorf("a client of another tenant got\n%s", out)
	}
}

// docs/protocol.md section 5: an audience; the others get nothing, as the next message to all shows.
func TestPublishToOneUser(t *testing.T) {
	srv := sharedServer(t)
	bob := newSessionIn(t, srv.data, "-user", "bob")
	tail := startTail(t, []string{"BUSBAR_TOKEN=" + bob}, "-url", srv.url, "-count", "2")
	tail.err.waitFor(t, "connected")
	for i, to := range [][]string{{"-to-user", "alice"}, {"-to-user", "alice", "-to-user", "bob"}, {"-to-tenant", "acme"}, {"-to-topic", "x"}, nil} {
		srv.publish("", append([]string{"change", "-entity", "T", "-row", fmt.Sprint(i), "-kind", "delete"}, to...)...).want(t, exitOK)
	}
	tail.want(t, exitOK)
	var got []string
	for line := range strings.Lines(tail.out.String()) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		got = append(got, event["row_id"].(string))
	}
	if !slices.Equal(got, []string{"1", "4"}) {
		t.Errorf("bob got events %v, want 1 and 4", got)
	}
}

func TestPublishErrors(t *testing.T) {
	srv := sharedServer(t)
	nobody, wrong := wstest.FreeAddress(t), temporaryFile(t, "not-the-admin-token-of-any-server")
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		words []string
	}{
		{"no verb", nil, exitUsage, []string{"binary, change, changes"}},
		{"no entity", []string{"change", "-row", "1", "-kind", "insert"}, exitUsage, []string{"-entity"}},
		{"no row", []string{"change", "-entity", "T", "-kind", "insert"}, exitUsage, []string{"-row"}},
		{"no kind", []string{"change", "-entity", "T", "-row", "1"}, exitUsage, []string{"-kind"}},
		{"unknown kind", []string{"change", "-entity", "T", "-row", "1", "-kind", "upsert"}, exitUsage, []string{"-kind", "insert, update, delete"}},
		{"data isn't JSON", []string{"change", "-entity", "T", "-row", "1", "-kind", "insert", "-data-json", "hello"}, exitUsage, []string{"-data-json"}},
		{"no operand", []string{"row", "T", "1"}, exitUsage, []string{"busbar publish row", "a file"}},
		{"two audiences", []string{"change", "-entity", "T", "-row", "1", "-kind", "insert", "-to-user", "a", "-to-topic", "b"},
			exitUsage, []string{"-to-user, -to-tenant, -to-topic"}},
		{"empty user", []string{"change", "-entity", "T", "-row", "1", "-kind", "insert", "-to-user", ""}, exitUsage, []string{"-to-user"}},
		{"empty tenant", []string{"change", "-entity", "T", "-row", "1", "-kind", "insert", "-to-tenant", ""}, exitUsage, []string{"-to-tenant"}},
		{"empty topic", []string{"change", "-entity", "T", "-row", "1", "-kind", "insert", "-to-topic="}, exitUsage, []string{"-to-topic"}},
		{"empty tenant of a row", []string{"row", "T", "1", "-", "-tenant", ""}, exitUsage, []string{"-tenant"}},
		{"empty tenant of presence", []string{"presence", "{}", "-tenant", ""}, exitUsage, []string{"-tenant"}},
		{"empty tenant of a topic", []string{"topic", "t", "1", "-tenant="}, exitUsage, []string{"-tenant"}},
		{"row that isn't UTF-8", []string{"change", "-entity", "T", "-row", "\xff", "-kind", "insert"}, exitUsage, []string{"-row", `"\xff" isn't UTF-8`}},
		{"user that isn't UTF-8", []string{"change", "-entity", "T", "-row", "1", "-kind", "insert", "-to-user", "\xff"}, exitUsage, []string{"-to-user", `"\xff" isn't UTF-8`}},
		{"presence isn't an object", []string{"presence", "[1]"}, exitFailure, []string{"INVALID_JSON", "object"}},
		{"no such file", []string{"binary", "/no/such/file"}, exitFailure, []string{"/no/such/file"}},
		{"nobody there", []string{"presence", "{}", "-api", nobody}, exitFailure, []string{"nothing listens at " + nobody, "-api", "BUSBAR_API"}},
		{"not the API", []string{"presence", "{}", "-api", strings.TrimPrefix(srv.url, "ws://")}, exitFailure, []string{"something else"}},
		{"wrong token", []string{"presence", "{}", "-admin-token-file", wrong}, exitFailure, []string{"UNAUTHORIZED", "-admin-token-file"}},
		{"no token file", []string{"presence", "{}", "-admin-token-file", "/no/such/file"}, exitFailure, []string{"/no/such/file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"publish"}, c.args...)
			env := []string{"BUSBAR_API=" + srv.api, "BUSBAR_DATA=" + srv.data}
			o := runCommand("", env, args...)
			o.want(t, c.code, c.words...)
			if o.out != "" {
				t.Errorf("standard output: %s", o.out)
			}
		})
	}
}

// A token that is made here would be known to no server, and would become the next one's.
func TestPublishMakesNoAdminToken(t *testing.T) {
	data := t.TempDir()
	for _, command := range [][]string{{"publish", "presence", "{}"}, {"tail"}} {
		runCommand("", nil, append(command, "-data", data)...).want(t, exitFailure, "admin-token", "-data", "BUSBAR_ADMIN_TOKEN")
	}
	if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
		t.Errorf("left in the data directory: %v, %v", left, err)
	}
}

func TestAdminTokenFromTheEnvironment(t *testing.T) {
	srv := sharedServer(t)
	env := []string{"BUSBAR_ADMIN_TOKEN=" + srv.admin.token}
	runCommand("", env, "publish", "presence", "{}", "-api", srv.api, "-data", t.TempDir()).want(t, exitOK)
}

func TestCallable(t *testing.T) {
	for listen, want := range map[string]string{
		":4321": "127.0.0.1:4321", "0.0.0.0:4321": "127.0.0.1:4321", "[::]:4321": "127.0.0.1:4321",
		"10.0.0.1:4321": "10.0.0.1:4321", "api.example.com:80": "api.example.com:80",
	} {
		if got := callable(listen); got != want {
			t.Errorf("%s is called at %s, want %s", listen, got, want)
		}
	}
}
