//go:build !race && !racedaemon

package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// snippets are the blocks of a page in a language, with the daemon's addresses.
func (d *daemon) snippets(page, language string) (blocks []string) {
	d.t.Helper()
	for _, b := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```\n").FindAllStringSubmatch(docsPage(d.t, page), -1) {
		at := strings.NewReplacer("127.0.0.1:4321", d.api, "127.0.0.1:4322", d.ws)
		blocks = append(blocks, at.Replace(b[1]))
	}
	return blocks
}

// docs/clients.md, "In a browser", and README.md: the client and the bare socket do what they say there.
func TestClientsPageInChromium(t *testing.T) {
	t.Parallel()
	d := onOwnAddress(t)
	blocks := append(d.snippets("clients.md", "js"), d.snippets("../README.md", "js")...)
	if len(blocks) != 4 {
		t.Fatalf("%d snippets", len(blocks))
	}
	d.adminCall("PUT", "/v1/rows/Doc/d_1", "milk", nil)
	const page = `<!doctype html><meta charset="utf-8"><body><script type="module">
		console.log = (...all) => { document.body.append(all.map(String).join(" ") + "\n"); };
		%s
	</script>`
	token := fmt.Sprintf("const token = %q;\n", d.session("bob"))
	pages := map[string]string{
		"/client": fmt.Sprintf(page, blocks[0]), "/socket": fmt.Sprintf(page, blocks[1]),
		"/readme": fmt.Sprintf(page, token+blocks[2]+blocks[3]),
	}
	url := serveHost(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_, _ = w.Write([]byte(d.session("alice")))
			return
		}
		_, _ = w.Write([]byte(pages[r.URL.Path]))
	}))
	b := startBrowser(t)
	client := b.open(t, url+"/client")
	shows := func(p *tab, what string) {
		t.Helper()
		p.waitFor(fmt.Sprintf(`document.body.textContent.includes(%q)`, what))
	}
	shows(client, "open")
	shows(client, "Doc d_1 snapshot 4")
	seq := d.publish("t_1")
	shows(client, "Todo t_1 insert [object Object]")
	client.waitFor(fmt.Sprintf(`localStorage.getItem("cursor") === "%d"`, seq))
	socket := b.open(t, url+"/socket")
	shows(socket, fmt.Sprintf(`{"seq":%d,`, seq)) // from since=0
	shows(socket, `{"type":"presence","status":"here","from":"alice"}`)
	readme := b.open(t, url+"/readme")
	shows(readme, fmt.Sprintf("%d Todo [object Object]", seq))
	shows(readme, fmt.Sprintf(`{"seq":%d,`, seq))
	d.adminCall("POST", "/v1/topics/chat", `"hello"`, nil)
	shows(client, "chat undefined hello")
}

// docs/clients.md, "In Go": the same for its two programs.
func TestClientsPageInGo(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	blocks := d.snippets("clients.md", "go")
	if len(blocks) != 2 {
		t.Fatalf("%d snippets", len(blocks))
	}
	const program = `package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/client"
)

var ctx, token, cursor = context.Background(), os.Args[2], uint64(0)

func apply(_ context.Context, c *client.Change) error {
	fmt.Println(c.Entity, c.RowID)
	return errors.New("enough")
}

func follow() error {
	%s
	return err
}

func bare() error {
	%s
}

func main() {
	fmt.Println(map[string]func() error{"follow": follow, "bare": bare}[os.Args[1]]())
}
`
	source := makeFile(t, filepath.Join(t.TempDir(), "main.go"), fmt.Sprintf(program, blocks[0], blocks[1]), 0o600)
	binary := filepath.Join(filepath.Dir(source), "program")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	run := func(name string) *output {
		out := newOutput()
		cmd := exec.Command(binary, name, d.session("alice"))
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return out
	}
	d.adminCall("PUT", "/v1/rows/Doc/d_1", "milk", nil)
	followed := run("follow")
	followed.waitFor(t, "Doc/d_1: 4 bytes\n")
	d.publish("t_1")
	followed.waitFor(t, "Todo t_1\nenough\n")
	read := run("bare")
	eventually(t, "the program has connected", func() bool { return d.metric("busbar_clients") == 1 })
	seq := d.publish("t_2")
	read.waitFor(t, fmt.Sprintf(`{"seq":%d,"entity":"Todo","row_id":"t_2"`, seq))
}
