// Package dashboard serves the page that shows how a server is. It draws what GET /v1/stats and the calls beside it
// answer to the admin token that its visitor types in; the page itself is the same for everybody.
package dashboard

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/busbar-ws/busbar/internal/webpage"
)

//go:embed assets/*.html assets/*.css assets/*.js assets/*.txt
var assets embed.FS

func page() *webpage.Page {
	parts, _ := fs.Sub(assets, "assets") // the name is valid: no error
	return &webpage.Page{Parts: parts, Prefix: "/dashboard/"}
}

// Handler serves the page at / and its parts below /dashboard/.
func Handler() http.Handler { return page().Handler("/{$}", nil) }
