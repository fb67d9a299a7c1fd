//go:build !race && !racedaemon

package main

import (
	"strings"
	"testing"
)

// TestDemoPage is the demo page in a real browser: docs/protocol.md section 1, as pages sign in by subprotocol and see close
// codes, and docs/protocol.md section 2 and 3 for what it sends and shows.
func TestDemoPage(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	t.Run("the printed link signs in", func(t *testing.T) { demoLinkSignsIn(t, b) })
	t.Run("changes appear", func(t *testing.T) { demoShowsChanges(t, b) })
	t.Run("a row is followed", func(t *testing.T) { demoFollowsARow(t, b) })
	t.Run("topics and presence", func(t *testing.T) { demoTalksToOthers(t, b) })
	t.Run("refused", func(t *testing.T) { demoIsRefused(t, b) })
	t.Run("without sessions", func(t *testing.T) { demoSaysWhatToSignInWith(t, b) })
	t.Run("revoked", func(t *testing.T) { demoIsRevoked(t, b) })
	t.Run("the server restarts", func(t *testing.T) { demoOutlivesARestart(t, b) })
}

func demoLinkSignsIn(t *testing.T, b *browser) {
	d := launch{terminal: true}.start(t)
	page := b.open(t, d.link)
	page.waitState("open")
	address, title := evaluate[string](page, `location.href`), evaluate[string](page, `document.title`)
	if strings.Contains(address, "token") || title != "Busbar demo" {
		t.Errorf("the page %q stays at %s", title, address)
	}
	if n := page.colours(); n < 5 {
		t.Errorf("a picture of the page has %d colours", n)
	}
	if n := d.metric("busbar_clients"); n != 1 {
		t.Errorf("%v clients", n)
	}
	// Whoever reads the link at a terminal may publish, with nothing else from anywhere.
	page.waitFor(`document.getElementById("admin-form").hidden`)
	page.wantLoud("change-send")
	page.click("change-send")
	page.waitChanges(1)
	page.waitFor(`document.getElementById("publish-result").dataset.ok === "true"`)
	_, token, _ := strings.Cut(d.link, "#token=")
	for _, call := range []string{"GET /v1/clients", "GET /v1/stats", "POST /v1/sessions"} {
		method, path, _ := strings.Cut(call, " ")
		if r := d.call(method, path, token, ""); r.status != 403 {
			t.Errorf("%s with the demo page's token: %d %s", call, r.status, r.body)
		}
	}
}

func demoSaysWhatToSignInWith(t *testing.T, b *browser) {
	d := startDaemon(t, "-auth", "http", "-auth-url", "http://127.0.0.1:9/")
	page := b.open(t, "http://"+d.api+"/demo")
	page.waitFor(`[...document.querySelectorAll("[data-auth]")].filter((e) => !e.hidden).map((e) => e.dataset.auth).join() === "http"`)
	page.waitFor(`!document.getElementById("signin").parentElement.innerText.includes("busbar session create")`)
}

// wantLoud wants one button, and no other, in the accent's colour.
func (p *tab) wantLoud(id string) {
	p.t.Helper()
	p.waitFor(`[...document.querySelectorAll("button")].filter((b) => {
		const probe = document.createElement("i");
		document.body.append(probe);
		probe.style.backgroundColor = "var(--accent)";
		const accent = getComputedStyle(probe).backgroundColor;
		probe.remove();
		return !b.hidden && getComputedStyle(b).backgroundColor === accent;
	}).map((b) => b.id).join() === "` + id + `"`)
}

func demoShowsChanges(t *testing.T, b *browser) {
	d := startDaemon(t)
	d.publish("t_1") // before the page is there
	page := b.open(t, d.page())
	page.waitState("open")
	page.waitChanges(1)
	page.waitFor(`document.querySelector("#events li").textContent.includes("milk")`)
	d.publishMany(20)
	page.waitChanges(21)
	// The page publishes, too, with the admin token.
	page.fill("admin-token", d.admin, "change-entity", "Note", "change-row-id", "n_1", "change-data", `{"from":"page"}`)
	page.click("change-send")
	page.waitChanges(22)
	page.waitFor(`document.getElementById("publish-result").dataset.ok === "true"`)
	page.waitFor(`document.querySelector("#events li").textContent.includes("Note/n_1")`)
	page.waitFor(`document.querySelector('#frames li[data-sent="false"]').textContent.includes('"entity":"Note"')`)
	page.waitFor(`document.getElementById("page-snippet").textContent.includes("http://` + d.api + `/busbar.js")`)
	page.waitFor(`document.getElementById("socket-snippet").textContent.includes("ws://` + d.ws + `/")`)
	if text := evaluate[string](page, `document.getElementById("publish-snippet").textContent`); strings.Contains(text, d.admin) {
		t.Errorf("the snippet holds the admin token: %s", text)
	}
}

func demoFollowsARow(t *testing.T, b *browser) {
	d := startDaemon(t)
	d.adminCall("PUT", "/v1/rows/Doc/d_1", "grüße", nil)
	page := b.open(t, d.page())
	page.waitState("open")
	page.fill("row-entity", "Doc", "row-id", "d_1")
	page.click("row-subscribe")
	shown := func(kind, row, payload string) {
		t.Helper()
		page.waitFor(`document.getElementById("row-frame").dataset.kind === "` + kind + `"`)
		page.waitFor(`document.getElementById("row-frame-row").textContent === "` + row + `"`)
		page.waitFor(`document.getElementById("row-frame-payload").textContent === "` + payload + `"`)
	}
	shown("snapshot", "Doc/d_1", "grüße")
	d.adminCall("PUT", "/v1/rows/Doc/d_1?update=1", "\xff\x00", nil)
	shown("update", "Doc/d_1", "ff 00")
}

func demoTalksToOthers(t *testing.T, b *browser) {
	d := startDaemon(t)
	c := d.connect(d.session("alice"))
	page := b.open(t, d.page())
	page.waitState("open")
	if m := waitType(c, "presence"); m.From != "demo" || m.Event != "join" {
		t.Errorf("the page's presence is %+v", m)
	}
	page.fill("topic", "lobby", "topic-data", `{"n":7}`)
	page.click("topic-send")
	if m := waitType(c, "topic"); m.From != "demo" || m.Topic != "lobby" || string(m.Data) != `{"n":7}` {
		t.Errorf("the page's topic message is %+v", m)
	}
	c.send(`{"type":"topic","topic":"lobby","data":"<b>hello</b>"}`)
	page.waitFor(`document.getElementById("messages").innerText.includes("<b>hello</b>")`)

	second := b.open(t, "http://"+d.api+"/demo#token="+d.session("bob"))
	second.waitState("open")
	page.waitFor(`document.querySelector('#presence li[data-from="bob"]') !== null`)
	second.waitFor(`document.querySelector('#presence li[data-from="demo"]') !== null`)
	second.click("disconnect")
	page.waitFor(`document.querySelector('#presence li[data-from="bob"]') === null`)
}

const refused = "unauthorized: token invalid or expired"

func demoIsRefused(t *testing.T, b *browser) {
	d := startDaemon(t)
	page := b.open(t, "http://"+d.api+"/demo#token=nobody's")
	page.waitUnauthorised(refused)
	page.wantLoud("connect")
	closed := evaluate[string](page, `new Promise((resolve) => {
		new WebSocket("ws://`+d.ws+`/", ["bearer.x"]).onclose = ({code, reason}) => resolve(`+"`${code} ${reason}`"+`);
	})`)
	if closed != "1008 "+refused {
		t.Errorf("a page's script sees %s", closed)
	}
	page.fill("token", d.session("alice"), "address", "http://"+d.ws+"/")
	page.click("connect")
	page.waitFor(`document.getElementById("notice").textContent.includes("begins with ws:// or wss://")`)
	page.fill("address", "ws://"+d.ws+"/as/a/proxy/has/it")
	page.click("connect")
	page.waitState("open")
	page.waitFor(`document.querySelector('#frames li[data-sent="true"]').textContent.includes('"event":"join"')`)
}

// waitUnauthorised waits until the page shows 1008 and the reason.
func (p *tab) waitUnauthorised(reason string) {
	p.t.Helper()
	p.waitState("unauthorised")
	p.waitFor(`document.getElementById("state").dataset.code === "1008"`)
	p.waitFor(`document.getElementById("state").textContent.includes("` + reason + `")`)
}

func demoIsRevoked(t *testing.T, b *browser) {
	d := startDaemon(t)
	token := d.session("alice")
	page := b.open(t, "http://"+d.api+"/demo#token="+token)
	page.waitState("open")
	d.adminCall("DELETE", "/v1/sessions/"+token, "", nil)
	page.waitUnauthorised("session revoked")
	// It would try again within half a second. Three times that is what shows that it doesn't.
	states := evaluate[string](page, `new Promise((resolve) => {
		const states = [];
		const watch = new MutationObserver(() => states.push(document.getElementById("state").dataset.state));
		watch.observe(document.getElementById("state"), {attributes: true});
		setTimeout(() => resolve(states.join()), 1500);
	})`)
	if states != "" {
		t.Errorf("after 1008 the page went on to %s", states)
	}
}

func demoOutlivesARestart(t *testing.T, b *browser) {
	d := onOwnAddress(t)
	page := b.open(t, d.page())
	page.waitState("open")
	d.publishMany(3)
	page.waitChanges(3)
	page.fill("row-entity", "Doc", "row-id", "d_1")
	page.click("row-subscribe")
	d.stop()
	page.waitState("waiting")
	d = d.restart()
	d.publishMany(4) // most likely before the page is back
	page.waitState("open")
	d.publishMany(2)
	page.waitChanges(9)
}
