package main

import (
	"context"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// runningTail is busbar tail in this process.
type runningTail struct {
	out, err *output
	code     chan int
}

func startTail(t *testing.T, env []string, args ...string) *runningTail {
	t.Helper()
	r := &runningTail{newOutput(), newOutput(), make(chan int, 1)}
	s := streams{strings.NewReader(""), r.out, r.err, getenvOf(env), func() []string { return env }}
	go func() { r.code <- run(append([]string{"tail"}, args...), s) }()
	return r
}

// want waits for the end.
func (r *runningTail) want(t *testing.T, code int, words ...string) {
	t.Helper()
	select {
	case got := <-r.code:
		if got != code {
			t.Fatalf("exit code %d, want %d; standard error: %s", got, code, r.err)
		}
	case <-time.After(soon):
		t.Fatalf("tail still runs; standard error: %s", r.err)
	}
	for _, word := range words {
		if !strings.Contains(r.err.String(), word) {
			t.Errorf("standard error lacks %q: %s", word, r.err)
		}
	}
}

// interruptTails is Ctrl-C, for all that run in this process: each of them has to have connected.
func interruptTails(t *testing.T, tails ...*runningTail) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for _, tail := range tails {
		tail.want(t, exitOK)
	}
}

// docs/protocol.md section 1: ?since= sends every retained change event with a higher seq.
func TestTailSince(t *testing.T) {
	srv := sharedServer(t)
	var seqs []string
	for _, row := range []string{"1", "2", "3"} {
		o := srv.publish("", "change", "-entity", "T", "-row", row, "-kind", "delete")
		o.want(t, exitOK)
		seqs = append(seqs, regexp.MustCompile(`\d+`).FindString(o.out))
	}
	tail := startTail(t, nil, "-url", srv.url, "-data", srv.data, "-since", seqs[0], "-count", "2")
	tail.want(t, exitOK)
	out := tail.out.String()
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, `"seq":`+seqs[1]) || !strings.Contains(out, `"seq":`+seqs[2]) {
		t.Errorf("got\n%swant seqs %v", out, seqs[1:])
	}
}

// docs/protocol.md section 2: a row's snapshot, topics and an entity's change events by subscription.
func TestTailSubscribes(t *testing.T) {
	srv := startInProcess(t, t.TempDir(), "-routing", "subscribed")
	srv.publish("now", "row", "Todo", "a/b", "-").want(t, exitOK)
	// A snapshot says that the subscriptions before it have been made.
	tail := startTail(t, nil, "-url", srv.url, "-data", srv.data, "-json", "-count", "3",
		"-topic", "news", "-topic", "weather", "-entity", "User", "-row", "Todo/a/b")
	tail.out.waitFor(t, `{"type":"row","entity":"Todo","row_id":"a/b","kind":"snapshot","payload":"bm93"}`)
	srv.publish("", "topic", "sports", "0").want(t, exitOK)
	srv.publish("", "change", "-entity", "Todo", "-row", "1", "-kind", "delete").want(t, exitOK)
	srv.publish("", "topic", "weather", "1").want(t, exitOK)
	srv.publish("", "change", "-entity", "User", "-row", "1", "-kind", "delete").want(t, exitOK)
	tail.want(t, exitOK)
	out := tail.out.String()
	if strings.Count(out, "\n") != 3 || !strings.Contains(out, `"weather"`) || !strings.Contains(out, `"User"`) {
		t.Errorf("got\n%s", out)
	}
}

// docs/protocol.md section 1: an unknown token is told by Close 1008, or by 401.
func TestTailUnauthorised(t *testing.T) {
	for reject, word := range map[string]string{"close": "unauthorized: token invalid or expired", "http": "401"} {
		t.Run(reject, func(t *testing.T) {
			srv := startInProcess(t, t.TempDir(), "-reject", reject)
			tail := startTail(t, []string{"BUSBAR_TOKEN=nobody's"}, "-url", srv.url)
			tail.want(t, exitFailure, "1008", word)
			if strings.Contains(tail.err.String(), "connected to") {
				t.Errorf("it says that it was let in: %s", tail.err)
			}
		})
	}
}

// docs/protocol.md section 5: revoking a session closes its connections with 1008, here by another
// process's doing; tail doesn't come back.
func TestTailOfARevokedSession(t *testing.T) {
	srv := sharedServer(t)
	token := newSessionIn(t, srv.data, "-user", "alice")
	tail := startTail(t, nil, "-url", srv.url, "-token-file", temporaryFile(t, token+"\n"))
	tail.err.waitFor(t, "connected")
	runCommand("", nil, "session", "revoke", "-data", srv.data, auth.SessionID(token)).want(t, exitOK)
	tail.want(t, exitFailure, "1008")
	if n := strings.Count(tail.err.String(), "connected"); n != 1 {
		t.Errorf("connected %d times", n)
	}
}

// docs/protocol.md section 3: 1012 while the server drains. The next server at that address has tail back.
func TestSessionsRevokedBeforeTheHubIsKnown(t *testing.T) {
	srv := sharedServer(t)
	token := newSessionIn(t, srv.data, "-user", "alice")
	tail := startTail(t, []string{"BUSBAR_TOKEN=" + token}, "-url", srv.url)
	tail.err.waitFor(t, "connected")
	id, err := srv.hub.Authenticate(context.Background(), token, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	var ends auth.Ends
	ends.Revoked([]*hub.Identity{id})
	ends.Opened(srv.hub)
	tail.want(t, exitFailure, "1008", "session revoked")
}

func TestTailComesBackAfterADrain(t *testing.T) {
	data := t.TempDir()
	srv := startInProcess(t, data)
	tail := startTail(t, nil, "-url", srv.url, "-data", data, "-count", "1")
	tail.err.waitFor(t, "connected")
	if err := srv.hub.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := srv.close(); err != nil {
		t.Fatal(err)
	}
	tail.err.waitFor(t, "1012")
	again := startInProcess(t, data, "-listen", strings.TrimPrefix(srv.url, "ws://"))
	for {
		// The first may be sent before tail is back.
		again.publish("", "presence", `{"type":"presence"}`).want(t, exitOK)
		select {
		case code := <-tail.code:
			tail.code <- code
			tail.want(t, exitOK, "connecting again in")
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestTailOnceEndsWithTheServer(t *testing.T) {
	srv := startInProcess(t, t.TempDir())
	tail := startTail(t, nil, "-url", srv.url, "-data", srv.data, "-once")
	tail.err.waitFor(t, "connected")
	if err := srv.hub.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	tail.want(t, exitOK)
}

func TestTailInterrupted(t *testing.T) {
	srv := sharedServer(t)
	tail := startTail(t, nil, "-url", srv.url, "-data", srv.data)
	tail.err.waitFor(t, "connected")
	interruptTails(t, tail)
}

// A flag beats a variable, as for the daemon.
func TestTailAdminTokenFileBeatsTheVariable(t *testing.T) {
	srv := sharedServer(t)
	tail := startTail(t, []string{"BUSBAR_TOKEN=nobody's"}, "-url", srv.url, "-admin-token-file", srv.dir.AdminToken())
	tail.err.waitFor(t, "connected")
	srv.publish("", "presence", `{"type":"presence"}`).want(t, exitOK)
	tail.out.waitFor(t, "presence")
	interruptTails(t, tail)
}

func TestTailMistakes(t *testing.T) {
	nobody := "ws://" + wstest.FreeAddress(t)
	env := []string{"BUSBAR_TOKEN=x"}
	for _, c := range []struct {
		env   []string
		args  []string
		code  int
		words []string
	}{
		{env, []string{"-url", nobody}, exitFailure, []string{"nothing listens at " + nobody, "-url"}},
		{env, []string{"-url", "http://127.0.0.1"}, exitUsage, []string{"-url", "ws://"}},
		{env, []string{"-row", "Todo"}, exitUsage, []string{"-row", "Todo/t_1"}},
		{env, []string{"-since", "x"}, exitUsage, []string{"-since"}},
		{env, []string{"-token", "secret"}, exitUsage, []string{"-token"}},
		{env, []string{"-token-file", "-"}, exitFailure, []string{"standard input"}},
		{env, []string{"-token-file", "/no/such/file"}, exitFailure, []string{"/no/such/file"}},
		{[]string{"BUSBAR_TOKEN=a\r\nb: c"}, nil, exitUsage, []string{"BUSBAR_TOKEN"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			runCommand("", c.env, append([]string{"tail"}, c.args...)...).want(t, c.code, c.words...)
		})
	}
}
