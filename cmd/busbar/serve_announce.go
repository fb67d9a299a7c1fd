package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/doctor"
)

// demoTTL is how long the session lasts that the link to the demo page signs in with.
const demoTTL = time.Hour

// demoToken is the session that the printed link to the demo page signs in with. Whoever starts a server for this host
// alone may publish with it, as with the admin token that the same person can read. Safe from any goroutine; the zero
// value is nobody's.
type demoToken struct {
	sum atomic.Pointer[[sha256.Size]byte]
}

func (d *demoToken) set(token string, api net.Addr) {
	if a, ok := api.(*net.TCPAddr); ok && a.IP.IsLoopback() {
		sum := sha256.Sum256([]byte(token))
		d.sum.Store(&sum)
	}
}

// is compares sums, so that the time taken says nothing about the token.
func (d *demoToken) is(token string) bool {
	want, sum := d.sum.Load(), sha256.Sum256([]byte(token))
	return want != nil && subtle.ConstantTimeCompare(sum[:], want[:]) == 1
}

// announce says that the server serves: one record of the log when that is JSON, else a text on
// standard output that tells whoever started it how to use it. terminal is whether that is one.
func (srv *server) announce(w io.Writer, terminal bool) {
	capacity := srv.hub.Capacity()
	if srv.cfg.Logging.Format == "json" {
		record := []any{"version", version, "websocket", srv.hub.Addr().String(), "api", srv.api.Addr().String(),
			"loops", srv.hub.Loops(), "capacity", capacity.Connections, "limited_by", capacity.LimitedBy}
		if srv.metrics != nil {
			record = append(record, "metrics", srv.metrics.Addr)
		}
		srv.log.Info("serving", record...)
		return
	}
	api := callable(srv.api.Addr().String())
	ws := callable(srv.hub.Addr().String())
	fmt.Fprintf(w, "busbar %s\n\n", version)
	fmt.Fprintf(w, "  WebSocket    ws://%s%s\n", ws, everywhere(srv.hub.Addr(), srv.cfg.Hub.Loops.Listen))
	fmt.Fprintf(w, "  HTTP API     http://%s%s\n", api, everywhere(srv.api.Addr(), srv.cfg.API.Address))
	fmt.Fprintf(w, "  Dashboard    http://%s/  (asks for the admin token)\n", api)
	if srv.metrics != nil {
		fmt.Fprintf(w, "  Metrics      http://%s/metrics  (asks nobody for a token)%s\n",
			callable(srv.metrics.Addr), everywhere(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(srv.metrics.Addr)), srv.cfg.API.Metrics))
	}
	fmt.Fprintf(w, "  Event loops  %d\n", srv.hub.Loops())
	fmt.Fprintf(w, "  Connections  up to %d: limited by %s\n", capacity.Connections, capacity.LimitedBy)
	fmt.Fprintf(w, "  Data         %s\n", string(srv.dir))
	if srv.cfg.Hub.Loops.Accept.ProxyProtocol != eventloop.ProxyOff {
		fmt.Fprintf(w, "  Proxies      %s\n", srv.proxies())
	}
	if srv.cfg.Auth == authNone {
		fmt.Fprintf(w, "  AUTHENTICATION IS OFF (-auth none): everyone who can reach the WebSocket is let in\n")
	}
	fmt.Fprintln(w)
	program := invocation(os.Args[0])
	if srv.cfg.Hub.Loops.Accept.ProxyProtocol == eventloop.ProxyRequired {
		// Neither a page nor tail can send the header that a connection has to begin with.
		fmt.Fprintf(w, "Connect and print what arrives, with the address of your proxy in place of PROXY:\n  %s tail%s\n\n",
			program, srv.tailFlags("PROXY"))
	} else {
		fmt.Fprintf(w, "See it: open this link%s\n\n", srv.demoLink(api, ws, terminal))
		fmt.Fprintf(w, "Connect and print what arrives:\n  %s tail%s\n\n", program, srv.tailFlags(ws))
	}
	fmt.Fprintf(w, "Publish:\n  curl -H \"Authorization: Bearer %s\" http://%s/v1/changes \\\n", srv.bearer(), api)
	fmt.Fprintf(w, "    -d '{\"entity\":\"Todo\",\"row_id\":\"t_1\",\"kind\":\"insert\",\"data\":{\"title\":\"hello\"}}'\n\n")
}

// proxies says whose PROXY protocol headers count.
func (srv *server) proxies() string {
	trusted := cli.FormatPrefixes(srv.cfg.Hub.Loops.Accept.TrustedProxies)
	if everybody, ok := doctor.TrustsEverybody(srv.cfg.Hub.Loops.Accept.TrustedProxies); ok {
		return "EVERYBODY IS TRUSTED (" + everybody.String() + "): whoever reaches the WebSocket can claim any address"
	}
	if srv.cfg.Hub.Loops.Accept.ProxyProtocol == eventloop.ProxyRequired {
		return "the WebSocket is for " + trusted + " alone, with a PROXY protocol header: go through a proxy"
	}
	return "a PROXY protocol header counts when it comes from " + trusted
}

// invocation is how whoever started this process can start another one.
func invocation(program string) string {
	if strings.Contains(program, "/go-build") {
		return "go run ./cmd/busbar"
	}
	return shellWord(program)
}

// isTerminal is whether what is written to w is read as it comes, and isn't kept.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// bearer is how a shell gets at the admin token; the token itself isn't printed.
func (srv *server) bearer() string {
	if srv.admin.file == "" {
		return "$BUSBAR_ADMIN_TOKEN"
	}
	file := srv.admin.file
	if absolute, err := filepath.Abs(file); err == nil {
		file = absolute // the command works from any folder
	}
	return "$(cat " + shellWord(file) + ")"
}

// demoLink is the address of the demo page, below what is to be known about it. A token is for the
// eyes of whoever started the server: to files and pipes none is printed.
func (srv *server) demoLink(api, ws string, terminal bool) string {
	note, token := " (it asks for a token)", ""
	if terminal && srv.sessions != nil && srv.cfg.SessionsDB == "" {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		made, _, err := srv.sessions.Create(ctx, "demo", "", demoTTL, "demo page")
		if err != nil {
			srv.log.Warn("no session for the demo page", "error", err)
		} else {
			note, token = " (signed in for "+cli.FormatDuration(demoTTL)+")", "#token="+made
			srv.demo.set(made, srv.api.Addr())
		}
	}
	if !srv.cfg.Hub.Origins.Allow("http://"+api, ws) {
		note = " (the page can connect once -origins names http://" + api + ")"
	}
	return note + "\n  http://" + api + "/demo" + token
}

// tailFlags are what "busbar tail" has to be told that isn't its default.
func (srv *server) tailFlags(ws string) string {
	flags := ""
	if srv.cfg.Data != "./busbar-data" {
		flags += " -data " + shellWord(srv.cfg.Data)
	}
	if srv.cfg.AdminTokenFile != "" {
		flags += " -admin-token-file " + shellWord(srv.cfg.AdminTokenFile)
	}
	if ws != "127.0.0.1:4322" {
		flags += " -url ws://" + ws
	}
	return flags
}

// shellWord is text as one word on a shell's command line.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// everywhere says so when an address is every interface's. configured is what was asked for: package net takes IPv4's
// for an address without a host, or with IPv6's, where there is no IPv6.
func everywhere(a net.Addr, configured string) string {
	ip := a.(*net.TCPAddr).IP
	host, _, _ := net.SplitHostPort(configured)
	wanted := net.ParseIP(host)
	switch {
	case !ip.IsUnspecified():
		return ""
	case ip.To4() != nil && (host == "" || wanted != nil && wanted.To4() == nil):
		return "  (listening on every IPv4 address: there is no IPv6 here)"
	}
	return "  (listening on every interface)"
}
