//go:build !race && !racedaemon

package main

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"image/png"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// chromium is one browser for all tests, started by the first that asks for it and stopped by
// TestMain. Each test has tabs of its own.
var chromium struct {
	start sync.Once
	ctx   context.Context
	err   error
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	chromium.start.Do(startChromium)
	if chromium.err != nil {
		t.Fatalf("starting Chromium: %v", chromium.err)
	}
	return &browser{chromium.ctx}
}

// startChromium starts Chromium without a window, with a profile of its own, and nothing that
// talks to anyone else.
func startChromium() {
	program := "chromium-headless-shell" // the same without what a window needs: a quarter of the processor time
	if _, err := exec.LookPath(program); err != nil {
		program = "chromium"
	}
	profile := filepath.Join(built, "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("renderer-process-limit", "1")) // starting one for each tab takes half of the processor time
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	chromium.ctx = ctx
	afterTests = append(afterTests, func() {
		_ = chromedp.Cancel(ctx) // closes the browser and waits for it
		cancel()
		stop()
	})
	chromium.err = chromedp.Do(ctx)
}

// browser is Chromium, as a test sees it.
type browser struct{ ctx context.Context }

// tab is one page.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens an address in a new tab.
func (b *browser) open(t *testing.T, address string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	t.Cleanup(cancel)
	p := &tab{t, ctx}
	// The tab lasts as long as the context of the first call, which must not be one with a deadline.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	p.do("opening "+strings.Split(address, "#")[0], chromedp.Navigate(address))
	return p
}

func (p *tab) do(what string, action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	runOn(p, what, action)
}

// runOn runs an action on a tab and returns what it gives.
func runOn[T any](p *tab, what string, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, soon)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", what, err, p.text())
	}
	return result
}

// evaluate is the value of a JavaScript expression, which may be a promise.
func evaluate[T any](p *tab, expression string) T {
	p.t.Helper()
	return runOn(p, "evaluating "+expression, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// text is what the page shows, for messages of failed tests.
func (p *tab) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, soon)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		return "and the page can't be read: " + err.Error()
	}
	return text
}

// waitFor waits until a JavaScript condition holds.
func (p *tab) waitFor(condition string) {
	p.t.Helper()
	p.do("waiting for "+condition, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingInterval(20*time.Millisecond)))
}

// waitState waits for the connection's state, as the page calls it.
func (p *tab) waitState(state string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`document.getElementById("state").dataset.state === %q`, state))
}

// waitChanges waits until the page lists exactly so many changes, newest first, with no gap. The seqs of a log
// begin with the time; the oldest that is shown counts as 1.
func (p *tab) waitChanges(n int) {
	p.t.Helper()
	var want []string
	for ; n >= 1; n-- {
		want = append(want, fmt.Sprint(n))
	}
	p.waitFor(fmt.Sprintf(`[...document.querySelectorAll("#events li")].map((row, _, all) => row.dataset.seq - all.at(-1).dataset.seq + 1).join() === %q`,
		strings.Join(want, ",")))
}

// fill types into fields: pairs of an id and a text.
func (p *tab) fill(pairs ...string) {
	p.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		p.do("filling in "+pairs[i], chromedp.SetValue(chromedp.ID(pairs[i]), pairs[i+1]))
	}
}

func (p *tab) click(id string) {
	p.t.Helper()
	p.do("clicking "+id, chromedp.Click(chromedp.ID(id)))
}

// colours is how many a picture of the page has.
func (p *tab) colours() int {
	p.t.Helper()
	picture := runOn(p, "taking a picture", chromedp.FullScreenshot(100))
	image, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		p.t.Fatalf("the picture: %v", err)
	}
	seen := make(map[color.Color]bool)
	bounds := image.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y += 3 {
		for x := bounds.Min.X; x < bounds.Max.X; x += 3 {
			seen[image.At(x, y)] = true
		}
	}
	return len(seen)
}
