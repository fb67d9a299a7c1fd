// Chat is a page where users talk: topic messages for what is said, presence for who is there. Messages are relayed by
// Busbar from one page to the others; this program only signs users in.
package main

import (
	_ "embed"
	"net/http"

	"github.com/busbar-ws/busbar/examples/backend"
)

//go:embed index.html
var page []byte

func main() {
	b := backend.New()
	b.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		user := r.FormValue("user") // an application looks at a password, or a cookie
		if user == "" || len(user) > 40 {
			http.Error(w, "a name has 1 to 40 bytes", http.StatusBadRequest)
			return
		}
		b.SignIn(w, r, user)
	})
	b.Serve(page)
}
