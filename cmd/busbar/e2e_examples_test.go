//go:build !race && !racedaemon

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// examples is the folder of that name.
var examples = filepath.Join("..", "..", "examples")

// Each example works in a browser, as examples/README.md says, also over a crash of the server.
func TestExamples(t *testing.T) {
	t.Parallel()
	nodeModules(t, filepath.Join(examples, "text"))
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", built+"/", "../../examples/chat", "../../examples/prices").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	d := onOwnAddress(t)
	host, _, _ := strings.Cut(d.ws, ":")
	of := func(name string) string {
		return d.runBackend(filepath.Join(built, name), "-listen", host+":0", "-api", "http://"+d.api, "-websocket", d.url(""), "-data", d.dir)
	}
	chat, prices := of("chat"), of("prices")
	text := d.runBackend("node", filepath.Join(examples, "text", "server.mjs"), host+":0", "http://"+d.api, d.dir, d.url(""))
	b := startBrowser(t)
	shows := func(p *tab, id, what string) {
		t.Helper()
		p.waitFor(fmt.Sprintf(`document.getElementById(%q).textContent.includes(%q)`, id, what))
	}

	alice := b.open(t, chat+"?user=alice")
	shows(alice, "people", "with alice")
	bob := b.open(t, chat+"?user=bob")
	shows(bob, "people", "with alice, bob")
	shows(alice, "people", "with alice, bob")
	say := func(p *tab, what string) {
		t.Helper()
		for _, each := range []*tab{alice, bob} { // who isn't there doesn't get it later
			each.waitFor(`document.getElementById("state").textContent === "open"`)
		}
		evaluate[bool](p, fmt.Sprintf(`(document.forms.say.elements.text.value = %q, document.forms.say.requestSubmit(), true)`, what))
	}
	say(alice, "<hello>")
	shows(bob, "messages", "alice: <hello>")

	price := b.open(t, prices)
	price.waitFor(`document.querySelectorAll("td[data-cents]").length === 3`)

	first := b.open(t, text)
	write := func(p *tab, expression string) {
		t.Helper()
		p.waitFor(`!document.getElementById("text").disabled`)
		evaluate[bool](p, `(() => { const field = document.getElementById("text"); field.value = `+expression+`;
			return field.dispatchEvent(new Event("input")); })()`)
	}
	reads := func(p *tab, what string) {
		t.Helper()
		p.waitFor(fmt.Sprintf(`document.getElementById("text").value === %q`, what))
	}
	write(first, `"middle"`)
	second := b.open(t, text) // one that comes later
	reads(second, "middle")

	d.crash()
	for _, p := range []*tab{alice, bob, price, first, second} {
		p.waitFor(`document.getElementById("state").textContent !== "open"`)
	}
	write(first, `"begin " + field.value`)
	write(second, `field.value + " end"`)
	d = d.restart()
	for _, p := range []*tab{first, second} {
		reads(p, "begin middle end")
	}
	say(bob, "again")
	shows(alice, "messages", "bob: again")
	seen := evaluate[string](price, `document.getElementById("prices").textContent`)
	price.waitFor(fmt.Sprintf(`document.getElementById("state").textContent === "open" && document.getElementById("prices").textContent !== %q`, seen))
}

// runBackend runs a program until the test ends, and returns the page's address, which it prints.
func (d *daemon) runBackend(program string, args ...string) (url string) {
	d.t.Helper()
	out, log := newOutput(), newOutput()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	t := d.t
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed %s%s", cmd, out, log)
		}
	})
	out.waitFor(t, "open http")
	return regexp.MustCompile(`http://[^/]*/`).FindString(out.String())
}
