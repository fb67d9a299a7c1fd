// Prices is a page of prices that change: change events, which a page that was away gets when it comes back. This program
// signs visitors in and publishes a new price of one share every now and then.
package main

import (
	_ "embed"
	"log"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/busbar-ws/busbar/examples/backend"
)

//go:embed index.html
var page []byte

func main() {
	b := backend.New()
	b.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) { b.SignIn(w, r, "visitor") })
	go publish(b)
	b.Serve(page)
}

func publish(b *backend.Backend) {
	cents := map[string]int{"ACME": 4200, "BAR": 1250, "COG": 980}
	for name := range cents {
		change(b, name, cents[name])
	}
	for range time.Tick(300 * time.Millisecond) {
		for name := range cents { // a random one
			cents[name] = max(1, cents[name]+rand.IntN(41)-20)
			change(b, name, cents[name])
			break
		}
	}
}

// change publishes one price. The row's id is the share: what a page shows is the last change of each.
func change(b *backend.Backend, name string, cents int) {
	err := b.Call("POST", "/v1/changes", map[string]any{
		"entity": "Price", "row_id": name, "kind": "update", "data": map[string]int{"cents": cents},
	}, nil)
	if err != nil {
		log.Print(err) // while Busbar restarts, say; the next price makes up for it
	}
}
