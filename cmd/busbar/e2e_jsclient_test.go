//go:build !race && !racedaemon

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// jsClient is the folder of the client for browsers and Node.
var jsClient = filepath.Join("..", "..", "clients", "js")

// What is checked in below clients/js/dist is what its sources make, and small.
func TestJSClientIsBuilt(t *testing.T) {
	t.Parallel()
	nodeModules(t, jsClient)
	dir := t.TempDir()
	build := exec.Command("sh", "-ec", `node_modules/.bin/esbuild src/client.ts --bundle --minify --format=esm --target=es2022 --log-level=warning --outfile="$0"/busbar.js
		node_modules/.bin/tsc --outDir "$0"`, dir)
	build.Dir = jsClient
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	for _, name := range []string{"busbar.js", "client.d.ts", "options.d.ts", "protocol.d.ts"} {
		made, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(filepath.Join(jsClient, "dist", name)); err != nil || !bytes.Equal(made, kept) {
			t.Errorf("clients/js/dist/%s isn't what the sources make (%v): npm run build", name, err)
		}
		var packed bytes.Buffer
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		_, _ = z.Write(made)
		if _ = z.Close(); packed.Len() >= 5000 {
			t.Errorf("%s has %d bytes, compressed", name, packed.Len())
		}
	}
}

// docs/clients.md: the client in Node, with the WebSocket of the package ws; clients/js/test starts servers of its own.
func TestJSClientInNode(t *testing.T) {
	t.Parallel()
	nodeModules(t, jsClient)
	test := exec.Command("node", "--test", "test/client.test.mjs")
	test.Dir = jsClient
	test.Env = append(os.Environ(), "BUSBAR="+filepath.Join(built, "busbar"))
	test.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := test.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// clientPage has a client that keeps what arrives.
const clientPage = `<!doctype html><meta charset="utf-8"><title>client</title><body>
<script type="module">
const [url, api, token] = location.hash.slice(1).split(",");
const { Client } = await import(api + "/busbar.js"); // as the server has it
const seen = window.seen = { seqs: [], rows: 0, states: [], errors: [] };
const client = window.client = new Client({ url, api, token, quiet: 400, patience: 400, minDelay: 50, maxDelay: 200 });
client.on("change", ({ seq }) => seen.seqs.push(seq));
document.addEventListener("freeze", () => { seen.frozenIn = client.state.name; });
document.addEventListener("resume", () => { seen.resumedIn = client.state.name; });
client.on("row", () => seen.rows++);
client.on("error", (error) => seen.errors.push(String(error)));
client.on("state", ({ name, reason }) => { seen.states.push(name + " " + reason); document.body.innerText = seen.states.join("\n"); });
client.subscribeRow("Doc", "d_1");
client.connect();
</script>`

// serveHost serves on the daemon's host, whence pages may connect.
func serveHost(t *testing.T, d *daemon, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	host, _, _ := net.SplitHostPort(d.ws)
	var err error
	if s.Listener, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// docs/clients.md: the client in a browser misses nothing, whatever ends or freezes beneath it.
func TestJSClientInChromium(t *testing.T) {
	t.Parallel()
	d := onOwnAddress(t)
	d.adminCall("PUT", "/v1/rows/Doc/d_1", "milk", nil)
	served := serveHost(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(clientPage)) }))
	p := startBrowser(t).open(t, served+"#"+d.url("")+",http://"+d.api+","+d.session("alice"))
	is := func(state string) { t.Helper(); p.waitFor(fmt.Sprintf(`window.client?.state.name === %q`, state)) }
	is("open")
	var want []string
	publish := func(n int) {
		for range n {
			want = append(want, fmt.Sprint(d.publish("t_1")))
		}
	}
	rows := 1
	caughtUp := func() {
		t.Helper()
		is("open")
		p.waitFor(fmt.Sprintf(`seen.seqs.join() === %q`, strings.Join(want, ",")))
		p.waitFor(fmt.Sprintf(`seen.rows >= %d`, rows))
	}
	publish(3)
	caughtUp()

	t.Log("kill -9")
	d.crash()
	is("waiting")
	d = d.restart()
	publish(3)
	rows++
	caughtUp()

	t.Log("a drain")
	d.stop()
	is("waiting")
	d = d.restart()
	publish(3)
	rows++
	caughtUp()

	t.Log("a server that hangs")
	_ = d.cmd.Process.Signal(syscall.SIGSTOP)
	p.waitFor(`seen.states.includes("waiting the server is silent")`)
	_ = d.cmd.Process.Signal(syscall.SIGCONT)
	publish(3)
	rows++
	caughtUp()

	t.Log("the page sleeps while the server is replaced")
	devtools(p, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateStateFrozen})
	d.crash()
	d = d.restart()
	publish(3)
	devtools(p, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateStateActive})
	rows++
	caughtUp()
	p.waitFor(`seen.frozenIn === "open" && seen.resumedIn === "open"`) // it has heard nothing of it

	t.Log("offline")
	conditions := network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{Offline: true}}}
	state := network.OverrideNetworkStateParams{Offline: true}
	devtools(p, network.EmulateNetworkConditionsByRule, conditions)
	devtools(p, network.OverrideNetworkState, state)
	p.waitFor(`navigator.onLine === false`)
	d.crash()
	is("waiting")
	d = d.restart()
	publish(3)
	conditions.MatchedNetworkConditions, state.Offline = []*network.Conditions{}, false
	devtools(p, network.EmulateNetworkConditionsByRule, conditions)
	devtools(p, network.OverrideNetworkState, state)
	rows++
	caughtUp()

	p.waitFor(`seen.errors.length === 0`)
	p.do("closing", chromedp.Evaluate[chromedp.Void](`client.close()`))
	eventually(t, "the client has left", func() bool { return d.metric("busbar_clients") == 0 })
}

// devtools sends the page's browser a command whose answer says nothing of use.
func devtools[P, R any](p *tab, c cdp.Command[P, R], params P) {
	p.t.Helper()
	p.do(c.Method, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	}))
}
