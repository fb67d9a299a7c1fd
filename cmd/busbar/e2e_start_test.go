//go:build !race && !racedaemon

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// docs/protocol.md section 7: who starts the server is told how to use it.
func TestStartSaysWhatRuns(t *testing.T) {
	d := startDaemon(t, "-loops", "3", "-max-connections", "77")
	text := d.out.String()
	for _, want := range []string{
		`WebSocket +ws://127\.0\.0\.1:\d+\n`, `HTTP API +http://127\.0\.0\.1:\d+\n`, `Event loops +3\n`,
		`Connections +up to 77: limited by -max-connections\n`, `Data +` + regexp.QuoteMeta(d.dir) + `\n`,
		`http://` + regexp.QuoteMeta(d.api) + `/demo\n`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if text := d.log.String(); text != "" {
		t.Errorf("a start without trouble logged %s", text)
	}
}

// docs/protocol.md section 7: busbar alone is busbar serve, on the addresses, with the loops and in the folder of the
// working directory that are its defaults.
func TestServeIsTheDefaultCommand(t *testing.T) {
	for data, command := range map[string][]string{"busbar-data": nil, "elsewhere/a b?c": {"serve", "-data", "elsewhere/a b?c"}} {
		dir := t.TempDir()
		d := &daemon{t: t, dir: filepath.Join(dir, data), exited: make(chan struct{}), out: newOutput(), log: newOutput()}
		d.cmd = launch{args: command, env: []string{"BUSBAR_LISTEN=127.0.0.1:0", "BUSBAR_API=127.0.0.1:0"}}.command()
		d.cmd.Dir = dir
		d.run()
		if loops := regexp.MustCompile(`Event loops +(\d+)`).FindStringSubmatch(d.out.String()); loops == nil ||
			loops[1] != strconv.Itoa(runtime.NumCPU()) {
			t.Errorf("loops %v, want one for each of %d cores", loops, runtime.NumCPU())
		}
		if status := d.call("GET", "/readyz", "", "").status; status != 200 {
			t.Errorf("/readyz: %d", status)
		}
		d.stop()
	}
}

// The commands that the server prints work as they are, in a shell, wherever the data is.
func TestPrintedCommandsWork(t *testing.T) {
	for name, args := range map[string][]string{
		"data": nil, "Bob's $HOME data": nil,
		"every address": {"-listen", "[::]:0", "-api", "[::]:0"}, // also called at 127.0.0.1
	} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, append([]string{"-data", filepath.Join(t.TempDir(), name)}, args...)...)
			d.printedCommandsWork(d.out.String())
		})
	}
}

func (d *daemon) printedCommandsWork(text string) {
	t := d.t
	tail := d.shell(regexp.MustCompile(`busbar tail.*`).FindString(text))
	lines := newOutput()
	tail.Stdout, tail.Stderr = lines, lines
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = tail.Process.Signal(syscall.SIGTERM)
		_ = tail.Wait()
		if strings.Contains(lines.String(), d.admin) {
			t.Error("busbar tail printed the admin token")
		}
	})
	eventually(t, "busbar tail connected", func() bool { return d.metric("busbar_clients") == 1 })

	curl := d.shell(regexp.MustCompile(`(?s)curl .*? -d '\{[^']*'`).FindString(text))
	answer, err := curl.Output()
	if err != nil || !regexp.MustCompile(`^\{"seq":\d+\}$`).Match(bytes.TrimSpace(answer)) {
		t.Fatalf("%s: %v, answer %s", curl, err, answer)
	}
	d.waitOutput(lines, "change event in busbar tail's output", func(text string) bool {
		return strings.Contains(text, `"title":"hello"`)
	})
}

// shell is a command line as somebody would paste it. exec lets it be stopped by the shell's process id.
func (d *daemon) shell(line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Env = []string{"PATH=" + built + ":" + os.Getenv("PATH"), "HOME=" + built}
	cmd.Dir = built
	return cmd
}

// docs/protocol.md section 5: a publisher may be curl -d, whatever Content-Type that makes up.
func TestPublishingByCurl(t *testing.T) {
	d := commonDaemon(t)
	c := d.connect(d.session("alice"))
	for i, command := range []string{
		`curl -sf -d '{"entity":"Todo","row_id":"1","kind":"delete"}' $API/v1/changes`,
		`curl -sf --json '{"entity":"Todo","row_id":"1","kind":"delete"}' $API/v1/changes`,
		`printf '%s\n' '{"entity":"Todo","row_id":"1","kind":"delete"}' | ` +
			`curl -sf -H 'Content-Type: application/x-ndjson' --data-binary @- $API/v1/changes`,
	} {
		cmd := exec.Command("sh", "-c", strings.Replace(command, "curl", `curl -H "Authorization: Bearer $TOKEN"`, 1))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "API=http://" + d.api, "TOKEN=" + d.admin}
		answer, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v, answer %s", command, err, answer)
			continue
		}
		if m := waitChange(c); m.Kind != "delete" || m.Data != nil {
			t.Errorf("%d: received %+v", i, m)
		}
	}
	presence := exec.Command("curl", "-sf", "-H", "Authorization: Bearer "+d.admin,
		"-d", `{"type":"presence","event":"deploy"}`, "http://"+d.api+"/v1/presence")
	if out, err := presence.CombinedOutput(); err != nil {
		t.Fatalf("presence by curl -d: %v %s", err, out)
	}
	if m := waitType(c, "presence"); m.Event != "deploy" {
		t.Errorf("received %+v", m)
	}
}

// docs/protocol.md section 7: the admin token is made with mode 0600, is one line, and is what the API wants.
// That neither it nor a session's token is printed is looked at when any server of these tests ends.
func TestAdminTokenIsMadeAndKept(t *testing.T) {
	d := startDaemon(t, "-log-level", "debug")
	path := filepath.Join(d.dir, "admin-token")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("admin-token has mode %o", mode)
	}
	if len(d.admin) < 32 {
		t.Errorf("the admin token has %d characters", len(d.admin))
	}
	c := d.connect(d.admin)
	c.send(`{"type":"presence"}`)
	if m := waitType(c, "presence"); m.From != "admin" {
		t.Errorf("an admin's presence is from %q", m.From)
	}
	c.terminate()
	for _, token := range []string{"", "wrong", d.session("alice")} {
		if status := d.call("POST", "/v1/changes", token, "{}").status; status != 401 && status != 403 {
			t.Errorf("publishing with token %q: status %d", token, status)
		}
	}
	before := d.admin
	d.stop()
	if again := d.restart(); again.admin != before {
		t.Error("a restart made another admin token")
	}
}

// The admin token of the environment is printed nowhere and kept in no file.
func TestAdminTokenOfTheEnvironment(t *testing.T) {
	const token = "environment-token-0123456789"
	d := launch{env: []string{"BUSBAR_ADMIN_TOKEN=" + token}}.start(t)
	d.admin, d.secret = token, append(d.secret, token)
	d.publish("t_1")
	if _, err := os.Stat(filepath.Join(d.dir, "admin-token")); err == nil {
		t.Error("there is an admin-token file too")
	}
	if !strings.Contains(d.out.String(), "Bearer $BUSBAR_ADMIN_TOKEN") {
		t.Errorf("the printed command doesn't use the variable:\n%s", d.out.String())
	}
}

// -auth none is a decision that nobody should make by accident.
func TestWithoutAuthenticationItSaysSo(t *testing.T) {
	d := startDaemon(t, "-auth", "none", "-log-format", "json")
	first, _, _ := strings.Cut(d.log.String(), "\n")
	var line struct{ Level, Msg string }
	if err := json.Unmarshal([]byte(first), &line); err != nil {
		t.Fatalf("the log isn't lines of JSON: %v\n%s", err, d.log.String())
	}
	if line.Level != "WARN" || !strings.Contains(line.Msg, "AUTHENTICATION IS OFF") {
		t.Errorf("logged %+v", line)
	}
	c := d.connect("")
	if seq := d.publish("t_1"); waitChange(c).Seq != seq {
		t.Error("the client got another event than the one published")
	}
	if status := d.call("POST", "/v1/changes", "", "{}").status; status != 401 {
		t.Errorf("publishing without the admin token: status %d", status)
	}
}

// With -log-format json the start is one record, and durations are in seconds.
func TestStartInJSON(t *testing.T) {
	d := startDaemon(t, "-log-format", "json", "-loops", "3", "-max-connections", "77", "-drain", "1500ms", "-metrics", "127.0.0.1:0")
	if d.out.String() != "" {
		t.Errorf("printed %s", d.out)
	}
	got := make(map[string]any)
	if err := json.Unmarshal([]byte(d.log.String()), &got); err != nil {
		t.Fatalf("the start isn't one record: %v\n%s", err, d.log)
	}
	delete(got, "time")
	if r, err := d.tryCallAt(fmt.Sprint(got["metrics"]), "GET", "/metrics", "", ""); err != nil || r.status != 200 {
		t.Errorf("metrics: %v, %v, %d", got["metrics"], err, r.status)
	}
	delete(got, "metrics")
	want := map[string]any{"level": "INFO", "msg": "serving", "version": "dev", "websocket": d.ws, "api": d.api,
		"loops": 3.0, "capacity": 77.0, "limited_by": "-max-connections"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the start is %v, want %v", got, want)
	}
	d.stop()
	if !strings.Contains(d.log.String(), `"msg":"draining","clients":0,"after":0,"within":1.5}`) {
		t.Errorf("the end is %s", d.log)
	}
}

// Where every connection has to begin with a proxy's header, the printed commands are ones that
// work: through the proxy, and straight to the API.
func TestPrintedCommandsWorkBehindAProxy(t *testing.T) {
	d := startDaemon(t, "-proxy-protocol", "required", "-trusted-proxies", "127.0.0.1")
	if text := d.out.String(); strings.Contains(text, "/demo") || strings.Contains(text, "-url ws://"+d.ws) {
		t.Errorf("there are commands that connect directly:\n%s", text)
	}
	d.printedCommandsWork(strings.Replace(d.out.String(), "ws://PROXY", "ws://"+d.startTCPProxy(), 1))
}

// startTCPProxy passes connections on behind a PROXY protocol header.
func (d *daemon) startTCPProxy() (address string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	var all sync.WaitGroup
	d.t.Cleanup(func() { ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", d.ws)
				if err != nil {
					return
				}
				defer server.Close()
				_, _ = io.WriteString(server, "PROXY TCP4 203.0.113.7 127.0.0.1 4711 4322\r\n")
				// Not from socket to socket: net would splice, and keep the pipes until the collector has run twice.
				all.Go(func() {
					_, _ = io.Copy(struct{ io.Writer }{server}, client)
					_ = server.(*net.TCPConn).CloseWrite()
				})
				_, _ = io.Copy(struct{ io.Writer }{client}, server)
			})
		}
	})
	return ln.Addr().String()
}

// A live token is shown to whoever starts the server at a terminal, and gets into no file, pipe or journal.
func TestTokensArePrintedToTerminalsAlone(t *testing.T) {
	if d := (launch{terminal: true}).start(t); !strings.Contains(d.link, "/demo#token=") || !strings.Contains(d.out.String(), "(signed in for 1h)") {
		t.Errorf("to a terminal it prints\n%s", d.out)
	}
	d := startDaemon(t) // a pipe
	if !strings.HasSuffix(d.link, "/demo") || !strings.Contains(d.out.String(), "open this link (it asks for a token)\n") {
		t.Errorf("to a pipe it prints\n%s", d.out)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := launch{args: []string{"-data", t.TempDir(), "-listen", "127.0.0.1:0", "-api", "127.0.0.1:0"}}.command()
	cmd.Stdout = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text []byte
	eventually(t, "the announcement", func() bool {
		text, _ = os.ReadFile(file.Name())
		return bytes.Contains(text, []byte("curl"))
	})
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	if bytes.Contains(text, []byte("#token=")) || !bytes.Contains(text, []byte("/demo\n")) {
		t.Errorf("to a file it prints\n%s", text)
	}
}

// Where the kernel has no IPv6, ":PORT" means every IPv4 address, and the server says so.
func TestStartWithoutIPv6(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := launch{inside: []string{self}, env: []string{withoutIPv6 + "=1"}, args: []string{"-listen", ":0", "-api", "[::]:0", "-metrics", ":0"}}
	d := elsewhere.start(t)
	d.connect(d.session("alice"))
	if status := d.call("GET", "/readyz", "", "").status; status != 200 {
		t.Errorf("/readyz: %d", status)
	}
	if n := strings.Count(d.out.String(), "(listening on every IPv4 address: there is no IPv6 here)"); n != 3 {
		t.Errorf("%d of 3 addresses are said to be IPv4's alone:\n%s", n, d.out.String())
	}
	// An address that is IPv6's is an error, not another one.
	elsewhere.args = []string{"-data", t.TempDir(), "-api", "127.0.0.1:0", "-listen", "[::1]:0"}
	o, e, code := elsewhere.run(t)
	if code != exitFailure || !strings.Contains(e, "-listen: listening on [::1]:0: ") {
		t.Errorf("[::1]: code %d, %s%s", code, o, e)
	}
}

// Where IPv6 is there but switched off (net.ipv6.conf.all.disable_ipv6), ":PORT" takes whoever comes by IPv4.
func TestStartWithIPv6SwitchedOff(t *testing.T) {
	const inside = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 && ip link set lo up && exec \"$@\""
	d := launch{
		inside: []string{"unshare", "--user", "--map-root-user", "--net", "sh", "-c", inside, "sh"},
		args:   []string{"-listen", ":0", "-api", ":0"},
	}.start(t)
	for _, address := range []string{d.ws, d.api} {
		out, err := exec.Command("nsenter", "--user", "--preserve-credentials", "--net", "-t", strconv.Itoa(d.cmd.Process.Pid),
			"curl", "-sf", fmt.Sprintf("http://%s/healthz", address)).CombinedOutput()
		if err != nil {
			t.Errorf("http://%s: %v %s", address, err, out)
		}
	}
}

// The original's variable for the largest message is the default of -max-message-out.
func TestPylonMaxFrameIsHonoured(t *testing.T) {
	d := launch{env: []string{"PYLON_WS_MAX_FRAME=100000"}}.start(t)
	c := d.connect(d.session("alice"))
	for size, want := range map[int]int{90_000: http.StatusNoContent, 110_000: http.StatusRequestEntityTooLarge} {
		if got := d.call("PUT", "/v1/rows/Doc/1", d.admin, strings.Repeat("x", size)).status; got/100 != want/100 {
			t.Errorf("a row of %d bytes: status %d, want %d", size, got, want)
		}
	}
	c.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"1"}`)
	wantFrame(t, c, 0x10, "Doc", "1", strings.Repeat("x", 90_000))
}

// A connection stays open between two requests for as long as -api-keep-alive says.
func TestAPIKeepAlive(t *testing.T) {
	d := startDaemon(t, "-api-keep-alive", "1s")
	conn := d.hold("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(soon))
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestFlagsWithoutEffectDontKeepItFromStarting(t *testing.T) {
	d := startDaemon(t, "-max-per-ip", "0", "-address-allowance", "3")
	if !strings.Contains(d.log.String(), "-address-allowance has no effect without -max-per-ip") {
		t.Errorf("logged %s", d.log)
	}
}

// Every signal that ends a process, and that somebody outside sends, has the server drain: clients are told by
// 1012, and the exit code is 0.
func TestSignalsDrain(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGPWR, syscall.SIGXCPU, syscall.SIGSTKFLT,
		syscall.Signal(35), syscall.Signal(37), syscall.Signal(64), // of the real-time ones SIGRTMIN+3 and the outermost
	} {
		t.Run(sig.String(), func(t *testing.T) {
			d := startDaemon(t)
			c := d.connect(d.session("alice"))
			if err := d.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			waitClose(t, c, 1012)
			d.waitExit()
			if code := d.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("ended with %v", d.cmd.ProcessState)
			}
		})
	}
}
