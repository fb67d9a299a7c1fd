package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/hub/httpapi"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/memory"
)

// reloading is what a server reads its configuration again with. mu is held while it does.
type reloading struct {
	mu    sync.Mutex
	parse func() (*options, error) // as at the start; set before anything is served
	shown map[string]string        // values of flags that are in force, as Flag.Show has them; guarded by mu

	// drains guards the configuration's Drain and DrainDelay. It isn't mu, because a file may hang: who ends the server
	// waits for none.
	drains sync.Mutex

	manager *supervisor // is told of reloads, until the server drains

	admin *auth.Admin
	jwt   *auth.JWT    // nil without -auth jwt
	disk  *disklog.Log // nil without -log disk
}

// values are those of all flags.
func values(t *cli.Set) map[string]string {
	shown := make(map[string]string, len(t.Flags))
	for _, f := range t.Flags {
		shown[f.Name] = f.Show()
	}
	return shown
}

// reload reads the file of -config again, and those that flags name. All is read and checked before anything is changed, and
// after an error nothing was. What takes a restart keeps its value.
func (srv *server) reload() (done httpapi.Reloaded, err error) {
	r := &srv.reloading
	r.mu.Lock()
	defer r.mu.Unlock()
	defer srv.reloading.manager.reloading()()
	next, err := r.parse()
	if err != nil {
		return done, err
	}
	for _, f := range next.flags.Flags {
		if now := r.shown[f.Name]; f.Show() != now && !srv.reloads(f, next) {
			f.Set(now)
			done.Restart = append(done.Restart, f.Name)
		}
	}
	if len(done.Restart) > 0 { // the rest has to go with what stays
		next.settle(memory.Defaults())
		if err := next.validate(); err != nil {
			return done, fmt.Errorf("%w (%s: only a restart would change that)", err, strings.Join(done.Restart, ", "))
		}
	}
	apply, err := srv.readFiles(next)
	if err != nil {
		return done, err
	}
	if err := srv.hub.Adjust(next.Hub); err != nil {
		return done, err
	}
	for _, f := range next.flags.Flags {
		if now := r.shown[f.Name]; f.Show() != now {
			done.Changed = append(done.Changed, f.Name)
			r.shown[f.Name] = f.Show()
		}
	}
	done.Files = apply()
	srv.adjust(next, done.Changed)
	srv.log.Info("the configuration was read again", "changed", done.Changed, "files", done.Files, "restart", done.Restart)
	return done, nil
}

// reloads is whether a flag's new value can count without a restart.
func (srv *server) reloads(f *cli.Flag, next *options) bool {
	switch f.Name {
	case "log-events", "log-bytes", "log-age":
		return srv.reloading.disk != nil
	case "max-per-ip": // addresses are counted from the start, or not at all
		return next.Hub.Loops.Accept.MaxPerAddress < 0 == (srv.cfg.Hub.Loops.Accept.MaxPerAddress < 0)
	}
	return f.Reload
}

// readFiles reads and checks what flags name. apply, which can't fail, has it count, and returns the flags whose files hold
// something else than before.
func (srv *server) readFiles(next *options) (apply func() (files []string), err error) {
	r := &srv.reloading
	admin, warning, err := auth.ReadAdminToken(string(srv.dir), next.AdminTokenFile, next.AdminToken)
	lost := next.AdminTokenFile == "" && errors.Is(err, fs.ErrNotExist) // one made here would lock out those who have the other
	if err != nil && !lost {
		return nil, err
	}
	useKey := func() bool { return false }
	if r.jwt != nil {
		if useKey, err = r.jwt.Reload(next.JWT.KeyFile); err != nil {
			return nil, err
		}
	}
	// These are read for each connection to NATS anyway; here it is said what is wrong with them.
	if next.Log.Kind == logNATS {
		if _, err = next.Log.NATS.options(); err != nil {
			return nil, err
		}
	}
	return func() (files []string) {
		if lost {
			srv.log.Warn(srv.dir.AdminToken() + " isn't there: the admin token stays as it is, until a restart makes another")
		} else if was := r.admin.Replace(admin); was != nil {
			files = append(files, "admin-token-file")
			srv.hub.CloseIdentity(func(id *hub.Identity) bool { return id == was }, "admin token replaced")
			if warning != "" {
				srv.log.Warn(warning)
			}
		}
		if useKey() {
			files = append(files, "jwt-key")
		}
		return files
	}, nil
}

// adjust has values count that the hub doesn't know of.
func (srv *server) adjust(next *options, changed []string) {
	srv.reloading.drains.Lock()
	srv.cfg.Drain = next.Drain
	srv.reloading.drains.Unlock()
	for _, name := range changed {
		switch name {
		case "log-level": // not otherwise: the API may have set another one
			_ = srv.level.UnmarshalText([]byte(next.Logging.Level))
		case "log-events", "log-bytes", "log-age":
			srv.reloading.disk.Retain(disklog.Retention{MaxEvents: next.Log.Events, MaxBytes: next.Log.Bytes, MaxAge: next.Log.Age})
		}
	}
}

// reloadOnHangup does that for each SIGHUP, until the process ends.
func (srv *server) reloadOnHangup(hangups <-chan os.Signal) {
	for range hangups {
		if _, err := srv.reload(); err != nil {
			srv.log.Error("SIGHUP: the configuration is as it was", "error", err)
		}
	}
}

const reloadUsage = `Has a running server read its configuration file and the files that flags name again.

Usage: busbar reload [flags]

Prints which flags have another value now, which files hold something else, and what takes a
restart. After an error nothing was changed. SIGHUP does the same, and tells the log.
`

// reloadCommand is the command reload.
func reloadCommand(args []string, s streams) error {
	var f apiFlags
	t := cli.New("busbar reload", reloadUsage)
	f.add(t)
	if _, err := parseOrHelp(t, args, s); err != nil {
		return err
	}
	client, err := f.client(s)
	if err != nil {
		return err
	}
	var done httpapi.Reloaded
	if err := client.do(apiCall{method: http.MethodPost, path: []string{"v1", "reload"}}, decodeTo(&done)); err != nil {
		return err
	}
	for _, part := range []struct {
		what  string
		names []string
	}{{"changed", done.Changed}, {"files read", done.Files}, {"takes a restart", done.Restart}} {
		if len(part.names) > 0 {
			fmt.Fprintf(s.out, "%s: -%s\n", part.what, strings.Join(part.names, ", -"))
		}
	}
	if len(done.Changed)+len(done.Files)+len(done.Restart) == 0 {
		fmt.Fprintln(s.out, "nothing has changed")
	}
	return nil
}
