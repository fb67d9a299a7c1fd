// Package webpagetest checks pages of package webpage.
package webpagetest

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/webpage"
)

var (
	inPage   = regexp.MustCompile(`(?:src|href)="(/[^"]*/[^"]*)"`)
	inModule = regexp.MustCompile(`(?m)^(?:import|export) .*?from "([^"]*)"|\bimport\("([^"]*)"\)`)
	external = regexp.MustCompile(`(?i:\b(?:https?|wss?):?//[a-z0-9]|["'(]//[a-z0-9])|@import|\burl\(`)
	markup   = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|\son[a-z]+=|style="`)
)

// EveryPartIsUsed follows the page's links from root: each part is served with the headers that all have, and each file
// of the page is one. others are files that nothing links to.
func EveryPartIsUsed(t *testing.T, p *webpage.Page, h http.Handler, root string, others ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, name := range others {
		seen[p.Prefix+name] = true
	}
	for queue := []string{root}; len(queue) > 0; queue = queue[1:] {
		target := queue[0]
		if seen[target] {
			continue
		}
		seen[target] = true
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: status %d, Content-Type %q", target, w.Code, w.Header().Get("Content-Type"))
		}
		wantHeaders(t, target, w.Header())
		for _, m := range inPage.FindAllStringSubmatch(w.Body.String(), -1) {
			queue = append(queue, m[1])
		}
		for _, m := range inModule.FindAllStringSubmatch(w.Body.String(), -1) {
			if part, ok := strings.CutPrefix(m[1]+m[2], "./"); ok { // others are the API's
				queue = append(queue, p.Prefix+part)
			}
		}
	}
	for _, name := range names(t, p.Parts) {
		if name != "index.html" && !seen[p.Prefix+name] {
			t.Errorf("%s is embedded, and the page doesn't use it", name)
		}
	}
}

func wantHeaders(t *testing.T, target string, h http.Header) {
	t.Helper()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", target, name, got, want)
		}
	}
	policy := h.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; ") || regexp.MustCompile(`unsafe-|\*|data:|https?:`).MatchString(policy) {
		t.Errorf("%s: the policy isn't strict: %q", target, policy)
	}
}

// SelfContained looks for what the page would load from elsewhere, and for what its policy forbids. foreign are files
// of other projects, which name their addresses.
func SelfContained(t *testing.T, p *webpage.Page, foreign ...string) {
	t.Helper()
	for _, name := range names(t, p.Parts) {
		text, err := fs.ReadFile(p.Parts, name)
		if err != nil {
			t.Fatal(err)
		}
		// An XML namespace is a name and not a place that anything is loaded from.
		shown := strings.ReplaceAll(string(text), `xmlns="http://www.w3.org/2000/svg"`, "")
		if m := external.FindString(shown); m != "" && !strings.Contains(strings.Join(foreign, " "), name) {
			t.Errorf("%s names an external resource: %q", name, m)
		}
		if m := markup.FindString(shown); m != "" {
			t.Errorf("%s puts markup or code together at run time, which the policy forbids: %q", name, m)
		}
	}
}

func names(t *testing.T, parts fs.FS) (all []string) {
	t.Helper()
	entries, err := fs.ReadDir(parts, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// Scripts runs testdata/pure.test.js under Node.js, beside the modules of a page.
func Scripts(t *testing.T, parts fs.FS) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, parts); err != nil {
		t.Fatalf("copying the modules: %v", err)
	}
	test, err := os.ReadFile("testdata/pure.test.js")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"pure.test.js": test, "package.json": []byte(`{"type":"module"}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "--test", "pure.test.js")
	node.Dir = dir
	if out, err := node.CombinedOutput(); err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
}
