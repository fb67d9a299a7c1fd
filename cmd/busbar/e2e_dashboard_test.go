//go:build !race && !racedaemon

package main

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestDashboard is the page at / in a real browser, under load: its figures are those of GET /v1/stats.
func TestDashboard(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	d := startDaemon(t, "-max-per-ip", "0", "-lag-time", "1h")
	page := b.open(t, "http://"+d.api+"/")
	page.waitFor(`!document.getElementById("signin-card").hidden && !document.getElementById("demo").hidden`)
	_ = evaluate[bool](page, keepAnswers)
	page.signIn(d.session("alice"))
	page.waitFor(`document.getElementById("notice").textContent === "This token is no admin's."`)
	page.signIn(d.admin)
	page.waitState("serving")

	const clients = 300
	d.load(clients - 1)
	d.laggard("slow")
	d.laggard("stuck")
	d.flood("stuck")
	d.flood("stuck") // which is more than may wait for it: -lag-bytes, beside the largest
	gone := d.connect(d.session("gone"))
	gone.terminate()
	before := d.delivered()
	page.waitFor(`document.querySelector("[data-stat=clients]").dataset.value === "300"`)
	page.waitFor(`Number(document.querySelector("[data-rate=frames_delivered]").dataset.value) > 0`)
	page.waitFor(`document.querySelector("#laggards tbody tr")?.innerText.includes("slow")`)
	page.waitFor(`document.querySelector("#closes tbody")?.innerText.includes("gone")`)
	page.waitFor(`document.querySelector("#losses tbody tr[data-name=slow]") !== null`)
	shown := evaluate[dashboardFigures](page, readFigures)
	shown.check(t)
	if n, after := shown.stat("frames_delivered"), d.delivered(); n < before || n > after {
		t.Errorf("%v deliveries are shown; there were %v before and %v behind", n, before, after)
	}
	if text := evaluate[string](page, `document.body.innerText`); strings.Contains(text, "NaN") || strings.Contains(text, "undefined") {
		t.Errorf("the page shows\n%s", text)
	}
	page.looksRight()

	page.click("sign-out")
	page.waitState("idle")
	if kept := evaluate[int](page, `sessionStorage.length`); kept != 0 {
		t.Errorf("%d items are kept behind the end", kept)
	}
	page.signIn(d.admin)
	page.waitState("serving")
	d.stop()
	page.waitState("away")
}

// load has clients that read, and changes published to them until the test ends.
func (d *daemon) load(clients int) {
	d.t.Helper()
	token := d.session("alice")
	for range clients {
		c := d.rawClient("", token, "")
		go func() { _, _ = io.Copy(io.Discard, c.R) }()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			line := `{"entity":"Todo","row_id":"t_1","kind":"update","data":{"title":"bread"}}` + "\n"
			_, _ = d.tryCall("POST", "/v1/changes", d.admin, strings.Repeat(line, 4), "Content-Type", "application/x-ndjson")
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond): // the pace of the load
			}
		}
	}()
	d.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// laggard has a client of a user read nothing of a message that no kernel takes whole.
func (d *daemon) laggard(user string) {
	d.t.Helper()
	_ = d.rawClient("", d.session(user), "")
	d.flood(user)
}

// flood publishes a message for a user that no kernel takes whole.
func (d *daemon) flood(user string) {
	d.t.Helper()
	body := `{"entity":"Todo","row_id":"t_1","kind":"update","data":"` + strings.Repeat("x", 12<<20) + `","audience":{"users":["` + user + `"]}}`
	d.adminCall("POST", "/v1/changes", body, nil)
}

func (d *daemon) delivered() float64 {
	d.t.Helper()
	var stats struct {
		Delivered float64 `json:"frames_delivered"`
	}
	d.adminCall("GET", "/v1/stats", "", &stats)
	return stats.Delivered
}

func (p *tab) signIn(token string) {
	p.t.Helper()
	p.fill("token", token)
	p.click("show")
}

// keepAnswers has the page's calls keep what they are answered, as it is.
const keepAnswers = `(() => {
	const ask = window.fetch;
	window.answers = [];
	window.fetch = async (...call) => {
		const answer = await ask(...call);
		if (answer.ok && call[0] === "/v1/stats") answers.push(await answer.clone().text());
		return answer;
	};
	return true;
})()`

// readFigures reads all figures at one moment, and the last two answers that they are of.
const readFigures = `(() => {
	const figures = (name) => [...document.querySelectorAll("[data-" + name + "]")].map((e) => [e.dataset[name], Number(e.dataset.value)]);
	const rows = (id) => [...document.querySelectorAll("#" + id + " tbody tr")].map((row) =>
		({name: row.dataset.name, figures: [...row.querySelectorAll("[data-value]")].map((e) => Number(e.dataset.value))}));
	const last = answers.findLastIndex((a) => JSON.parse(a).at === document.body.dataset.at);
	const closes = {};
	for (const row of document.querySelectorAll("#closes tbody tr")) {
		const end = row.cells[1].textContent;
		closes[end] = (closes[end] ?? 0) + Number(row.querySelector("[data-value]").dataset.value);
	}
	return {closes, lost: Number(document.getElementById("lost").dataset.value), each: Number(document.getElementById("per-connection").dataset.value),
		last: Number(document.getElementById("last-p99").dataset.value), first: JSON.parse(answers[0]), stats: figures("stat"), rates: figures("rate"), loops: rows("loops"), causes: rows("causes"), losses: rows("losses"),
		before: JSON.parse(answers[last - 1]), answer: JSON.parse(answers[last])};
})()`

// dashboardFigures are what the page shows, and what it was answered.
type dashboardFigures struct {
	Stats, Rates          [][2]any // of a path and a number
	Loops, Causes, Losses []struct {
		Name    string
		Figures []float64
	}
	First, Before, Answer map[string]any
	Lost                  float64            // by all causes
	Closes                map[string]float64 // what ended clients have lost, by the cause of the end
	Each                  float64            // resident bytes per connection
	Last                  float64            // how long 99 % took to the last subscriber, in the last minute
}

func (f *dashboardFigures) stat(path string) float64 { return numberAt(f.Answer, path) }

// lost is how many messages of all kinds were lost by cause, as busbar_deliveries_lost_total has it.
func (f *dashboardFigures) lost(cause string) (n float64) {
	kinds, _ := f.Answer["lost"].(map[string]any)[cause].(map[string]any)
	for kind := range kinds {
		n += numberAt(kinds, kind)
	}
	return n
}

// numberAt is a number in JSON, by the names on the way to it.
func numberAt(value any, path string) float64 {
	for name := range strings.SplitSeq(path, ".") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	n, _ := value.(float64)
	return n
}

func (f *dashboardFigures) check(t *testing.T) {
	t.Helper()
	seconds := timeAt(t, f.Answer).Sub(timeAt(t, f.Before)).Seconds()
	for _, s := range f.Stats {
		if want := f.stat(s[0].(string)); s[1] != want {
			t.Errorf("%s is shown as %v, and is %v", s[0], s[1], want)
		}
	}
	for _, r := range f.Rates {
		path := r[0].(string)
		want := (f.stat(path) - numberAt(f.Before, path)) / seconds
		if got, _ := r[1].(float64); got < want*0.999-0.001 || got > want*1.001+0.001 { // the page's clock has milliseconds
			t.Errorf("%s grows by %v a second as shown, and by %v", path, got, want)
		}
	}
	if len(f.Stats) < 10 || len(f.Rates) < 3 || f.stat("frames_delivered") == 0 {
		t.Errorf("%d figures and %d rates are shown", len(f.Stats), len(f.Rates))
	}
	loops, _ := f.Answer["loops"].([]any)
	for i, l := range loops {
		if i >= len(f.Loops) || f.Loops[i].Figures[0] != numberAt(l, "clients") {
			t.Errorf("loop %d has %v clients; shown are %+v", i, numberAt(l, "clients"), f.Loops)
		}
	}
	f.checkLast(t)
	if want := f.stat("process.resident_bytes") / f.stat("connections"); math.Abs(f.Each-want) > 1e-6 {
		t.Errorf("%v bytes per connection are shown, and %v are resident", f.Each, want)
	}
	for _, c := range f.Causes {
		if n := c.Figures[1]; n != f.stat("closed."+c.Name) {
			t.Errorf("%v are shown as closed by %s", n, c.Name)
		}
	}
	all := 0.0
	for _, c := range f.Losses {
		if n := c.Figures[1]; n != f.lost(c.Name) {
			t.Errorf("%v are shown as lost by %s", n, c.Name)
		}
		all += c.Figures[1]
	}
	if all == 0 || f.Lost != all || f.Closes["slow"] != f.lost("slow") {
		t.Errorf("%v are shown as lost, and %v by cause; of ended clients %v", f.Lost, all, f.Closes)
	}
}

// checkLast wants 99 % of the broadcasts between the first answer and the last in the bucket of what is shown, or below.
func (f *dashboardFigures) checkLast(t *testing.T) {
	t.Helper()
	const path = "durations.broadcast_last_send"
	durations := func(answer map[string]any) map[string]any {
		return answer["durations"].(map[string]any)["broadcast_last_send"].(map[string]any)
	}
	all := f.stat(path+".count") - numberAt(f.First, path+".count")
	before, below := durations(f.First)["buckets"].([]any), 0.0
	for i, bucket := range durations(f.Answer)["buckets"].([]any) {
		n := numberAt(bucket, "count") - numberAt(before[i], "count")
		if le := numberAt(bucket, "le"); f.Last <= le {
			if all == 0 || n < 0.99*all || below >= 0.99*all {
				t.Errorf("99 %% of %v took up to %v s, it says; %v were below that bucket, %v in it or below", all, f.Last, below, n)
			}
			return
		}
		below = n
	}
	t.Errorf("broadcasts take %v s, it says", f.Last)
}

func timeAt(t *testing.T, answer map[string]any) (at time.Time) {
	t.Helper()
	text, _ := json.Marshal(answer["at"])
	if err := json.Unmarshal(text, &at); err != nil {
		t.Fatal(err)
	}
	return at
}

// looksRight looks at the page in the dark, and on a phone: nothing is wider than it.
func (p *tab) looksRight() {
	p.t.Helper()
	const background = `getComputedStyle(document.body).backgroundColor`
	light := evaluate[string](p, background)
	p.do("going dark", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		dark := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: dark})
		return err
	}))
	if dark := evaluate[string](p, background); dark == light {
		p.t.Errorf("in the dark the page is %s too", dark)
	}
	if n := p.colours(); n < 20 {
		p.t.Errorf("a picture of the page has %d colours", n)
	}
	p.do("taking a phone", chromedp.EmulateViewport(375, 700))
	p.waitFor(`document.querySelector(".uplot").clientWidth < 375`)
	if wide := evaluate[int](p, `document.documentElement.scrollWidth`); wide > 375 {
		p.t.Errorf("on a phone the page is %d pixels wide", wide)
	}
}
