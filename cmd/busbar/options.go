package main

import (
	"cmp"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/doctor"
	"github.com/busbar-ws/busbar/internal/memory"
)

// options are what the daemon was told to do, written by parseOptions. What they mean stands in the table of flags that
// are bound to them (serverFlags). Sizes are in bytes.
type options struct {
	// Hub is what flags say of the hub and its event loops. Where zero means a default there and off in the flag, it is
	// negative.
	Hub hub.Options

	API         apiOptions
	Log         logOptions
	RowsURL     string
	SnapshotURL string

	Auth       string
	SessionsDB string
	Guests     guestOptions
	JWT        auth.JWTOptions
	AuthHTTP   auth.HTTPOptions // a CacheTTL of zero is none

	Data           string
	LockWait       time.Duration
	AdminTokenFile string
	AdminToken     string // from BUSBAR_ADMIN_TOKEN alone: anyone on the host can read a process's arguments. Never log it

	Drain   drainOptions
	Echo    bool // conformance test mode: no hub, no API
	Logging loggingOptions
	File    string
	Version bool // print the version and do nothing else

	flags *cli.Set
}

// apiOptions are about the HTTP API.
type apiOptions struct {
	Address   string
	KeepAlive time.Duration
	Metrics   string // address; empty: not served without a token
}

// guestOptions are about sessions that anybody may make.
type guestOptions struct {
	Allowed bool
	TTL     time.Duration
}

// drainOptions are about the end: clients are closed within so much time, which begins after the delay.
type drainOptions struct{ Within, Delay time.Duration }

// loggingOptions are about the records that the server writes of what it does.
type loggingOptions struct{ Level, Format string }

// logOptions are about the change log.
type logOptions struct {
	Kind   string // logDisk, logMemory or logNATS
	Events int
	Bytes  int
	Age    time.Duration
	Tail   int // of logDisk and logNATS: bytes in memory

	NATS    natsOptions
	Cluster clusterOptions
}

// natsOptions say where the change log of several nodes is.
type natsOptions struct {
	Servers       string // may hold a password: never log it
	Creds, NKey   string // files
	CA, Cert, Key string
	Stream        string
	Replicas      int
	Timeout       time.Duration
	Publish       bool // take what is published by requests to the stream's name and .publish
}

// clusterOptions are for the NATS inside of this process.
type clusterOptions struct {
	Name, Listen, Routes  string
	Secret, CA, Cert, Key string // files
}

// Values of -log and -auth.
const (
	logDisk   = "disk"
	logMemory = "memory"
	logNATS   = "nats"

	authSessions = "sessions"
	authJWT      = "jwt"
	authHTTP     = "http"
	authNone     = "none"
)

// defaultOptions are the hub's and the event loops', by a process's shares of the memory, and what they know nothing of.
// What follows from the number of cores or from other flags isn't known yet: it is zero.
func defaultOptions(s memory.Shares) *options {
	o := &options{
		Hub: hub.DefaultOptions(), API: apiOptions{Address: defaultAPI, KeepAlive: 75 * time.Second},
		Log: logOptions{
			Kind: logDisk, Tail: s.Log,
			NATS: natsOptions{Stream: "busbar", Replicas: 3, Timeout: 10 * time.Second}, Cluster: clusterOptions{Name: "busbar"},
		},
		Auth: authSessions, Data: defaultData, Guests: guestOptions{TTL: 24 * time.Hour},
		JWT:      auth.JWTOptions{UserClaim: "sub", TenantClaim: "tenant", Leeway: 30 * time.Second, RefreshInterval: 5 * time.Minute},
		AuthHTTP: auth.HTTPOptions{CacheTTL: 30 * time.Second},
		Drain:    drainOptions{Within: 5 * time.Second}, Logging: loggingOptions{"info", "text"},
	}
	h := &o.Hub
	h.MaxMessageOut, h.Rows.MaxBytes, h.Loops.Memory.QueueBytes, h.Loops.Slow.LagBytes = s.Message, s.Rows, s.Queue, s.Lag
	h.Loops.Loops, h.Loops.Memory.BufferBytes, h.Rates.Subscribes.Burst = 0, 0, 0
	o.flags = serverFlags(o)
	return o
}

// nodesDrain is the default of -drain for one of several nodes: its clients have somewhere to go meanwhile.
const nodesDrain = 30 * time.Second

// Defaults of flags that other commands have too.
const (
	defaultAPI  = "127.0.0.1:4321"
	defaultData = "./busbar-data"
)

// parseOptions reads the daemon's flags from args, which don't hold the program's name, from the environment, and from
// the file of -config. It returns flag.ErrHelp when help was asked for; any other error is a cli.UsageError: one line for
// standard error, after which the process exits with 2. With Version set nothing else was read or checked.
func parseOptions(args []string, getenv func(string) string) (*options, error) {
	s := memory.Defaults()
	o := defaultOptions(s)
	return o, o.parse(args, getenv, s)
}

func (o *options) parse(args []string, getenv func(string) string, s memory.Shares) error {
	// The environment isn't read before it is known that it counts: -version has to work in a container whose variables
	// are wrong.
	if _, err := o.flags.ParseArgs(args); err != nil || o.Version {
		return err
	}
	if err := o.flags.ParseEnv(getenv); err != nil {
		return err
	}
	if o.File != "" {
		if err := o.flags.ParseFile(o.flags.Flag("config")); err != nil {
			return err
		}
	}
	if err := o.applyPylonMaxFrame(getenv("PYLON_WS_MAX_FRAME")); err != nil {
		return err
	}
	o.settle(s)
	o.AdminToken = getenv("BUSBAR_ADMIN_TOKEN")
	return o.validate()
}

// applyPylonMaxFrame lets text, a number of bytes, be the default of -max-message-out, as it is for the hub that Busbar
// replaces.
func (o *options) applyPylonMaxFrame(text string) error {
	const variable = "PYLON_WS_MAX_FRAME"
	out := o.flags.Flag("max-message-out")
	if text == "" || out.Given != "" {
		return nil
	}
	// Pylon reads no units there. A text that the two understand differently is a mistake.
	if _, err := strconv.ParseUint(text, 10, 64); err == nil && out.Take(text, variable) == nil {
		return nil
	}
	return cli.Usagef("%s: %q isn't a whole number of bytes from %d to %d; -max-message-out takes its place",
		variable, text, minMessage, cli.GiB)
}

// settle fills in what depends on other flags and on the memory.
func (o *options) settle(s memory.Shares) {
	events, bytes := disklog.DefaultEvents, disklog.DefaultBytes
	if o.Log.Kind == logMemory {
		events, bytes = hub.DefaultLogEvents, s.Log
	}
	o.Log.Events, o.Log.Bytes = cmp.Or(o.Log.Events, events), cmp.Or(o.Log.Bytes, bytes)
	if o.flags.Flag("drain").Given == "" && o.Log.Kind == logNATS {
		o.Drain.Within = nodesDrain
	}
	l := &o.Hub.Loops
	l.Memory.BufferBytes = cmp.Or(l.Memory.BufferBytes, s.Buffers)
	if o.flags.Flag("max-message-in").Given == "" && !o.Echo {
		l.MaxMessageIn = min(l.MaxMessageIn, o.Hub.MaxMessageOut) // nobody has asked for more to come in than may go out
	}
}

// inMemory is how many bytes of events may be in memory, and the flag that says so.
func (o *logOptions) inMemory() (bytes int, flag string) {
	if o.Kind == logMemory {
		return o.Bytes, "-log-bytes"
	}
	return o.Tail, "-log-tail"
}

// validate checks what no flag can check alone; what one can stands in its declaration. The error is a cli.UsageError
// which names the flags as they were given.
func (o *options) validate() error {
	if o.Echo {
		return o.validateEcho()
	}
	for _, check := range []func(*options) error{
		(*options).validateNetwork, (*options).validateSizes, (*options).validateBufferMemory,
		(*options).validateAuth, (*options).validateNodes,
	} {
		if err := check(o); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) source(flagName string) string { return o.flags.Source(flagName) }

func (o *options) validateNetwork() error {
	for _, pair := range [][2]string{{"api", "listen"}, {"metrics", "listen"}, {"metrics", "api"}} {
		one, other := o.flags.Flag(pair[0]).Show(), o.flags.Flag(pair[1]).Show()
		_, port, _ := net.SplitHostPort(one)
		// Port 0 is a free port of the kernel's choice, so never the same one.
		if _, taken, _ := net.SplitHostPort(other); port == taken && strings.Trim(port, "0") != "" {
			return cli.Usagef("%s: %q has the port of %s %q; give them different ports", o.source(pair[0]), one, o.source(pair[1]), other)
		}
	}
	if a := &o.Hub.Loops.Accept; a.ProxyProtocol != eventloop.ProxyOff && len(a.TrustedProxies) == 0 {
		return cli.Usagef("%s: %q needs -trusted-proxies with the addresses that proxies connect from, such as 127.0.0.1 or 10.0.0.0/8",
			o.source("proxy-protocol"), proxyUses[a.ProxyProtocol])
	}
	return nil
}

func (o *options) validateSizes() error {
	in, out, queue := o.Hub.Loops.MaxMessageIn, o.Hub.MaxMessageOut, o.Hub.Loops.Memory.QueueBytes
	switch {
	case in > out:
		return cli.Usagef("%s: %q is more than %s %s; what a client sends is relayed to others",
			o.source("max-message-in"), cli.FormatSize(in), o.source("max-message-out"), cli.FormatSize(out))
	case queue < out:
		return cli.Usagef("%s: %q is less than %s %s, so that the largest message would never fit",
			o.source("queue-bytes"), cli.FormatSize(queue), o.source("max-message-out"), cli.FormatSize(out))
	case o.Hub.Loops.Slow.Policy == eventloop.CatchUp && o.Hub.Routing == hub.RouteSubscribed:
		return cli.Usagef("%s: catch-up doesn't go with %s subscribed, because the log doesn't say what a client was subscribed to; "+
			"use drop-oldest or disconnect", o.source("slow"), o.source("routing"))
	}
	return nil
}

// validateBufferMemory names the flag that asks for more than fits.
func (o *options) validateBufferMemory() error {
	l := &o.Hub.Loops
	if l.Memory.BufferBytes >= l.LeastBufferBytes() {
		return nil
	}
	name, size := "queue-bytes", l.Memory.QueueBytes
	if l.Slow.LagBytes > l.Memory.QueueBytes {
		name, size = "lag-bytes", l.Slow.LagBytes
	}
	if o.flags.Flag("buffer-memory").Given == "" {
		return cli.Usagef("%s: %q is more than %s, half of -buffer-memory, which is a quarter of the memory by default",
			o.source(name), cli.FormatSize(size), cli.FormatSize(l.Memory.BufferBytes/2))
	}
	return cli.Usagef("%s: %q is less than twice %s %s, so that one queue alone could have clients ended",
		o.source("buffer-memory"), cli.FormatSize(l.Memory.BufferBytes), o.source(name), cli.FormatSize(size))
}

func (o *options) validateAuth() error {
	switch {
	case o.AdminToken != "" && o.AdminTokenFile != "":
		return cli.Usagef("%s: %q is given beside BUSBAR_ADMIN_TOKEN; give one of them", o.source("admin-token-file"), o.AdminTokenFile)
	case o.Auth == authJWT && o.JWT.KeyFile == "" && o.JWT.JWKSURL == "":
		return cli.Usagef("%s: %q needs one of -jwt-key and -jwt-jwks", o.source("auth"), o.Auth)
	case o.Auth == authJWT && o.JWT.KeyFile != "" && o.JWT.JWKSURL != "":
		return cli.Usagef("%s: %q is given beside %s; give one of them",
			o.source("jwt-jwks"), cli.WithoutSecrets(o.JWT.JWKSURL), o.source("jwt-key"))
	case o.Auth == authJWT && o.JWT.UserClaim == "":
		return cli.Usagef(`%s: "" isn't the name of a claim, such as sub`, o.source("jwt-user-claim"))
	case o.Auth == authHTTP && o.AuthHTTP.URL == "":
		return cli.Usagef("%s: %q needs -auth-url", o.source("auth"), o.Auth)
	}
	return nil
}

// validateNodes checks what belongs together.
func (o *options) validateNodes() error {
	n, k := &o.Log.NATS, &o.Log.Cluster
	switch {
	case o.Log.Kind != logNATS:
		return nil
	case n.Servers == "" && k.Listen == "":
		return cli.Usagef("%s: %q needs -nats, or -cluster-listen and what goes with it", o.source("log"), logNATS)
	case n.Servers != "" && k.Listen != "":
		return cli.Usagef("%s is given beside %s; give one of them", o.source("cluster-listen"), o.source("nats"))
	case o.source("nats") == "-nats" && strings.Contains(n.Servers, "@"):
		return cli.Usagef("-nats: holds a user or password, which anyone on this host can read on the command line; give it as BUSBAR_NATS")
	case n.Creds != "" && n.NKey != "":
		return cli.Usagef("%s is given beside %s; give one of them", o.source("nats-nkey"), o.source("nats-creds"))
	case (n.Cert == "") != (n.Key == ""):
		return cli.Usagef("-nats-cert and -nats-key go together")
	case k.Listen != "" && (k.Routes == "" || k.Secret == ""):
		return cli.Usagef("%s: %q needs -cluster-routes and -cluster-secret-file", o.source("cluster-listen"), k.Listen)
	case k.Listen != "" && !isCluster(k.Listen, k.Routes):
		return cli.Usagef("%s: %q has to be three addresses or more, each once, and %s %q one of them",
			o.source("cluster-routes"), k.Routes, o.source("cluster-listen"), k.Listen)
	case (k.CA == "") != (k.Cert == "") || (k.Cert == "") != (k.Key == ""):
		return cli.Usagef("-cluster-ca, -cluster-cert and -cluster-key go together")
	case o.Hub.Seqs != 0:
		return cli.Usagef("%s: a stream numbers its messages itself, so that it doesn't go with %s nats", o.source("seq"), o.source("log"))
	}
	return nil
}

// isCluster is whether enough nodes are named for one to be lost, this one among them.
func isCluster(listen, routes string) bool {
	addresses := cli.Entries(routes)
	has := slices.Contains(addresses, listen)
	slices.Sort(addresses)
	return has && len(addresses) >= 3 && len(slices.Compact(addresses)) == len(addresses)
}

// besideEcho are the flags that may go with -echo: where it listens, how long it waits, how much it takes, what it logs.
// All others are about what an echo server doesn't have, and one of them beside -echo is more likely a production server
// about to let everybody in.
const besideEcho = " echo listen loops max-connections max-per-ip accept-rate accept-burst max-handshakes handshake-timeout " +
	"ping-interval pong-timeout drain flush-delay send-buffer notsent-lowat max-message-in slow lag-time lag-bytes " +
	"buffer-memory compression compression-threshold log-level log-format config "

// validateEcho is all of validate that concerns -echo.
func (o *options) validateEcho() error {
	for _, name := range o.given() {
		if !strings.Contains(besideEcho, " "+name+" ") {
			return cli.Usagef("%s: does nothing with %s, which echoes messages to whoever sends them "+
				"and has no users, hub, API or data; leave one of them out", o.source(name), o.source("echo"))
		}
	}
	if o.AdminToken != "" {
		return cli.Usagef("BUSBAR_ADMIN_TOKEN: is set beside %s, which lets everybody in; leave one of them out", o.source("echo"))
	}
	return nil
}

// given are the names of the flags that were, in order.
func (o *options) given() (names []string) {
	for _, f := range o.flags.Flags {
		if f.Given != "" {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// companion is flags that have no effect unless met: those whose names begin with one of the prefixes.
type companion struct {
	prefixes string
	met      bool
	lacking  string
}

func (o *options) companions() []companion {
	jwt, http, nats := o.Auth == authJWT, o.Auth == authHTTP, o.Log.Kind == logNATS
	rates := &o.Hub.Rates
	return []companion{
		{"jwt-", jwt, "without -auth jwt"},
		{"jwt-refresh", !jwt || o.JWT.JWKSURL != "", "without -jwt-jwks"},
		{"auth-url auth-cache", http, "without -auth http"},
		{"sessions-db", o.Auth == authSessions, "without -auth sessions"},
		{"guests", !o.Guests.Allowed || o.Auth == authSessions, "without -auth sessions"},
		{"guest-ttl", o.Guests.Allowed, "without -guests"},
		{"compression-threshold", o.Hub.Loops.Compression != eventloop.CompressOff, "without -compression out or on"},
		{"rows-timeout rows-recheck", o.RowsURL != "", "without -rows-url"},
		{"snapshot-timeout", o.SnapshotURL != "", "without -snapshot-url"},
		{"rows-max rows-bytes", o.RowsURL == "", "with -rows-url"},
		{"log-age log-tail", o.Log.Kind != logMemory, "with -log memory"},
		{"nats node cluster-", nats, "without -log nats"},
		{"nats-c nats-nkey nats-key nats-publish", o.Log.NATS.Servers != "" || !nats, "without -nats"},
		{"cluster-", !nats || o.Log.Cluster.Listen != "", "without -cluster-listen"},
		{"accept-burst", o.Hub.Loops.Accept.Rate > 0, "with -accept-rate 0"},
		{"message-burst", rates.Messages.PerSecond > 0, "with -message-rate 0"},
		{"byte-burst", rates.Bytes.PerSecond > 0, "with -byte-rate 0"},
		{"subscribe-burst", rates.Subscribes.PerSecond > 0, "with -subscribe-rate 0"},
		{"relay-", o.Hub.Relays != hub.RelayOff, "with -relays off"},
		{"relay-burst", o.Hub.Relays == hub.RelayOff || rates.Relays.PerSecond > 0, "with -relay-rate 0"},
		{"address-allowance", o.Hub.Loops.Accept.MaxPerAddress > 0, "without -max-per-ip"},
	}
}

// warn says which flags were given and change nothing, and whether every client can claim any address.
func (o *options) warn(log *slog.Logger) {
	for _, name := range o.given() {
		for _, rule := range o.companions() {
			begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
			if !rule.met && slices.ContainsFunc(strings.Fields(rule.prefixes), begins) {
				log.Warn(o.source(name) + " has no effect " + rule.lacking)
			}
		}
	}
	for _, name := range []string{"auth-url", "rows-url", "snapshot-url", "jwt-jwks"} {
		if u, err := url.Parse(o.flags.Flag(name).Show()); err == nil && u.User != nil && o.source(name) == "-"+name {
			log.Warn("-" + name + " holds a user or password, which anyone on this host can read on the command line; give it as " + cli.EnvName(name))
		}
	}
	if a := &o.Hub.Loops.Accept; a.ProxyProtocol != eventloop.ProxyOff {
		if everybody, ok := doctor.TrustsEverybody(a.TrustedProxies); ok {
			log.Warn("EVERYBODY IS TRUSTED (" + o.source("trusted-proxies") + " " + everybody.String() +
				"): whoever reaches the WebSocket can claim any address")
		}
	}
}

// warnOfMisspelt logs variables that nothing reads, but whose names are nearly those of flags: what was meant to be set
// isn't. Others that begin alike are left alone: Kubernetes sets several for a service by the name of busbar. Values are
// never shown.
func warnOfMisspelt(log *slog.Logger, environ []string) {
	names := []string{"admin-token", "token"}
	for _, f := range defaultOptions(memory.Defaults()).flags.Flags {
		if f.Env != "" {
			names = append(names, f.Name)
		}
	}
	for _, pair := range environ {
		variable, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(variable, "BUSBAR_")
		name := strings.ToLower(strings.ReplaceAll(rest, "_", "-"))
		if !ours || slices.Contains(names, name) && variable == cli.EnvName(name) {
			continue
		}
		if meant := cli.Nearest(names, name); meant != "" {
			log.Warn("an environment variable isn't read: nothing has that name", "variable", variable, "nearest", cli.EnvName(meant))
		}
	}
}
