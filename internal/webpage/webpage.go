// Package webpage serves pages that are a part of the binary: without a build step, with nothing from
// elsewhere, and under a Content-Security-Policy that forbids everything that they don't need.
package webpage

import (
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"path"
)

// assets are what all pages have in common: colours and form fields, and the icon.
//
//go:embed assets/*.css assets/*.svg
var assets embed.FS

// Page is one page and its parts. It is immutable, and its Handler is safe from any goroutine.
type Page struct {
	Parts  fs.FS  // "index.html" and what it names below Prefix
	Prefix string // of the parts' paths: "/demo/"

	// Connect is what the page may connect to besides its own origin: sources of a policy's connect-src, each with a
	// space ahead of it.
	Connect string
}

// contentTypes stands here because package mime reads the host's tables, and with nosniff a browser refuses
// a module that some host calls text/plain.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// Handler serves the page at root, and its parts below the prefix. It answers every other path with 404, takes
// GET and HEAD only and needs no credentials. more may add to what is served; it may be nil.
func (p *Page) Handler(root string, more func(*http.ServeMux)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root, func(w http.ResponseWriter, _ *http.Request) { p.serve(w, "index.html") })
	mux.HandleFunc("GET "+p.Prefix+"{part}", func(w http.ResponseWriter, r *http.Request) { p.serve(w, r.PathValue("part")) })
	if more != nil {
		more(mux)
	}
	return p.withHeaders(mux)
}

// serve answers with a part, or 404. A name is one path element, so none leads out of the folder.
func (p *Page) serve(w http.ResponseWriter, name string) {
	body, err := p.read(name)
	kind, ok := contentTypes[path.Ext(name)]
	if err != nil || !ok {
		http.Error(w, "no such part of the page", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}

func (p *Page) read(name string) ([]byte, error) {
	body, err := fs.ReadFile(p.Parts, name)
	if errors.Is(err, fs.ErrNotExist) {
		return assets.ReadFile("assets/" + name)
	}
	return body, err
}
