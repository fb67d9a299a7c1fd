package demo

import (
	"embed"
	"net/http"
	"path"
)

//go:embed assets/*.html assets/*.css assets/*.svg assets/*.js
var assets embed.FS

// contentTypes stands here because package mime reads the host's tables, and with nosniff a browser refuses
// a module that some host calls text/plain.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// serveAsset answers with the embedded file called name, or 404. A name is one path element, so none leads
// out of the folder.
func serveAsset(w http.ResponseWriter, name string) {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		http.Error(w, "no such part of the demo page", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
	_, _ = w.Write(body)
}
