// Command embed is a Go program with a Busbar inside: sessions or JWT, change events, the HTTP API and metrics, without a
// daemon beside it. docs/embedding.md explains it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/hub/httpapi"
	"github.com/busbar-ws/busbar/hub/metrics"
)

// config is what the program is started with.
type config struct{ listen, api, data, jwtKey string }

func main() {
	var c config
	flag.StringVar(&c.listen, "listen", "127.0.0.1:4322", "address of the WebSocket")
	flag.StringVar(&c.api, "api", "127.0.0.1:4321", "address of the API and of this program's own pages")
	flag.StringVar(&c.data, "data", "embed-data", "directory with sessions, the change log and the admin token")
	flag.StringVar(&c.jwtKey, "jwt-key", "", "file with the key of JWT; empty = sessions")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c, func(p *program) { log.Printf("ws://%s and http://%s", p.hub.Addr(), p.listener.Addr()) }); err != nil {
		log.Fatal(err)
	}
}

// program is what runs.
type program struct {
	hub      *hub.Hub
	listener net.Listener
}

// run serves until ctx ends. started is called once both addresses answer.
func run(ctx context.Context, c config, started func(*program)) error {
	eventloop.SaveMemory()
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		return err
	}
	tokens, sessions, ends, err := openTokens(c)
	if err != nil {
		return err
	}
	defer tokens.Close()
	admin, _, err := auth.AdminToken(c.data, "", os.Getenv("ADMIN_TOKEN"))
	if err != nil {
		return err
	}

	changes, err := disklog.Open(filepath.Join(c.data, "changes.db"), disklog.Options{})
	if err != nil {
		return err
	}
	defer changes.Close()
	o := hub.DefaultOptions()
	o.Log, o.Rows.Store = changes, changes.Rows()
	o.Loops.Listen, o.Loops.Loops = c.listen, eventloop.RaiseProcs(0)
	o.Auth = auth.WithAdmin(tokens, admin)
	h, err := hub.New(o)
	if err != nil {
		return err
	}
	ends.Opened(h)

	registry := metrics.NewRegistry(h.Stats) // yours go in here too
	listener, err := net.Listen("tcp", c.api)
	if err != nil {
		return errors.Join(err, h.Shutdown(ctx))
	}
	limited := httpapi.LimitListener(listener, 256)
	pages := http.NewServeMux()
	pages.Handle("/", httpapi.New(h, httpapi.Options{Sessions: sessions, Registry: registry, Listener: limited}))
	pages.HandleFunc("POST /todos/{id}/done", done(h))
	server := httpapi.NewServer(c.api, pages, httpapi.ServerOptions{})
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(limited) }()
	started(&program{h, listener})

	select {
	case <-ctx.Done():
	case <-h.Failed():
		err = errors.New("the event loops have stopped")
	case err = <-failed:
	}
	slog.Info("ending")
	late, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	// The API first: whoever publishes has an answer, and clients get what was published before their Close.
	return errors.Join(err, server.Shutdown(late), h.Shutdown(late))
}

// done is a call of the program's own: a client that is signed in marks a record as done, and its tenant is told.
func done(h *hub.Hub) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, _ := netip.ParseAddrPort(r.RemoteAddr)
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		id, err := h.Authenticate(r.Context(), token, from.Addr())
		if err != nil {
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		_, err = h.PublishChange(hub.Change{
			Entity: "Todo", RowID: r.PathValue("id"), Kind: hub.Update, Data: json.RawMessage(`{"done":true}`),
			Audience: hub.Audience{Tenant: id.Tenant},
		})
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	}
}

// tokens say who somebody is.
type tokens interface {
	hub.Authenticator
	Close() error
}

// openTokens has sessions in a file, or believes JWT. ends closes the connections of sessions that are revoked.
func openTokens(c config) (t tokens, sessions *auth.Sessions, ends *auth.Ends, err error) {
	ends = new(auth.Ends)
	if c.jwtKey != "" {
		t, err = auth.NewJWT(auth.JWTOptions{KeyFile: c.jwtKey})
		return t, nil, ends, err
	}
	sessions, err = auth.OpenSessions(filepath.Join(c.data, "busbar.db"), auth.SessionOptions{OnRevoked: ends.Revoked})
	return sessions, sessions, ends, err
}
