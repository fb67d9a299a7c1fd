package main

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/internal/cli"
)

const serveUsage = `Busbar hands one stream of events to every WebSocket.

Usage: busbar [serve] [flags]
       busbar reload, session, publish, tail, log, version, doctor, health, why (-help after any)
       busbar config [flags]    prints what is in force, and from where
       busbar help -markdown    prints the flags as docs/flags.md has them

A flag on the command line beats its environment variable, which beats the file of -config, which
beats the default. A variable is named BUSBAR_ and the flag's name in capitals, with _ for -; an
empty one counts as not set. A file has a flag's name a line, without -, and its value behind = or
a space; # begins a comment. The commands serve, config, doctor, health, log copy and log bump nats
read it; others take -data, -api or -url, as their -help says.
Sizes are in bytes or take a unit: 64KiB is 65536, 64KB is 64000. Durations: 500ms, 25s, 1m30s, 24h.
What is reloadable counts after busbar reload or SIGHUP too, when it is in the file.
BUSBAR_ADMIN_TOKEN may hold the admin token. No flag does: a process's arguments can be read by all.
`

const (
	// minMessage is the longest payload of a control frame (RFC 6455 section 5.5), which every endpoint has to take.
	minMessage = 125
	// maxCount bounds whatever is counted in memory: 2^24.
	maxCount = 1 << 24
	// maxConnections is more than one Linux host has been seen to hold, and keeps sums of connections far from an
	// int32's end.
	maxConnections = 100_000_000
	maxRate        = 1_000_000
	noLimit        = math.MaxInt
)

// Words of flags whose values are numbered: the place of a word is its number.
var (
	rejections   = []string{hub.RejectClose: "close", hub.RejectHTTP: "http"}
	routings     = []string{hub.RouteAll: "all", hub.RouteSubscribed: "subscribed"}
	seqs         = []string{hub.SeqAssigned: "assigned", hub.SeqGiven: "given"}
	relays       = []string{hub.RelayTenant: "tenant", hub.RelayAll: "all", hub.RelayOff: "off"}
	slowPolicies = []string{eventloop.Disconnect: "disconnect", eventloop.DropOldest: "drop-oldest", eventloop.CatchUp: "catch-up"}
	compressions = []string{eventloop.CompressOff: "off", eventloop.CompressOut: "out", eventloop.CompressOn: "on"}
	proxyUses    = []string{eventloop.ProxyOff: "off", eventloop.ProxyOptional: "optional", eventloop.ProxyRequired: "required"}
)

// Flags that several commands take.

func addAPI(t *cli.Set, p *string) {
	t.AddShared("api", cli.Address(p), "address of the HTTP API and pages")
}

func addAdminTokenFile(t *cli.Set, p *string) *cli.Flag {
	return t.AddShared("admin-token-file", cli.Path(p, "file"), "file whose one line is the admin token; empty = admin-token in the data directory")
}

// addServerData is for commands beside the server, which make nothing.
func addServerData(t *cli.Set, p *string) {
	*p = defaultData
	t.AddShared("data", cli.Path(p, "directory"), "the server's data directory, with busbar.db and admin-token")
}

// serverFlags is the table of the daemon's flags, each bound to its field of o.
func serverFlags(o *options) *cli.Set {
	t := cli.New("busbar", serveUsage)
	t.Env = true
	o.addNetwork(t)
	o.addMessages(t)
	o.addRates(t)
	o.addLog(t)
	o.addNodes(t)
	o.addAuth(t)
	o.addProcess(t)
	return t
}

func (o *options) addNetwork(t *cli.Set) {
	l := &o.Hub.Loops
	t.Group("Network")
	t.Add("listen", cli.Address(&l.Listen), "address of the WebSocket listener")
	addAPI(t, &o.API.Address)
	t.Add("api-keep-alive", cli.Duration(&o.API.KeepAlive, time.Second, 0), "how long a connection to the API stays open "+
		"between two requests; longer than a proxy in front keeps it, or a request may meet its end")
	t.Add("metrics", cli.Checked(&o.API.Metrics, "address", "an address such as 127.0.0.1:9090, or nothing",
		func(text string) bool { return text == "" || cli.IsAddress(text) }),
		"address of a listener of its own for /metrics, /healthz and /readyz without a token, for Prometheus; empty = there is none")
	t.Add("loops", cli.Int(&l.Loops, 0, 128), "event loops, one per shard; 0 = one per core")
	t.Add("max-connections", cli.Int(&l.Accept.MaxConnections, 0, maxConnections), "connections above this are refused; 0 = what descriptors allow").Reloads()
	t.Add("max-per-ip", cli.IntOrOff(&l.Accept.MaxPerAddress, maxConnections),
		"concurrent connections per client address, of IPv6 per /64 network; 0 = no limit").Reloads()
	t.Add("proxy-protocol", cli.Choice(&l.Accept.ProxyProtocol, proxyUses), "take clients' addresses from PROXY protocol headers, "+
		"version 1 or 2, of the -trusted-proxies; with required nobody else may connect, and a header must come first")
	t.Add("trusted-proxies", cli.Prefixes(&l.Accept.TrustedProxies), "addresses and networks that proxies connect from, separated by commas: "+
		"127.0.0.1, 10.0.0.0/8; what they say of a client's address is believed, so let nobody else connect from there")
	t.Add("accept-rate", cli.IntOrOff(&l.Accept.Rate, maxConnections), "connections a second that each loop accepts while it is "+
		"behind with what it has to send (for 5ms); further ones wait in the kernel's queue; a loop that isn't behind accepts all; 0 = no limit").Reloads()
	t.Add("accept-burst", cli.Int(&l.Accept.Burst, 1, maxConnections),
		"connections that a loop that is behind accepts at once before -accept-rate slows it down").Reloads()
	t.Add("max-handshakes", cli.Int(&l.Accept.MaxHandshakes, 1, maxConnections), "connections of each loop that haven't been upgraded yet; at the "+
		"limit further ones wait in the kernel's queue, and those that have sent no request for an eighth of -handshake-timeout are closed").Reloads()
	t.Add("handshake-timeout", cli.Duration(&l.Timeouts.Handshake, time.Second, 0),
		"how long a connection may take to be upgraded, authentication included").Reloads()
	t.Add("ping-interval", cli.Duration(&l.Timeouts.PingInterval, time.Second, 0), "ping a connection that was quiet for so long")
	t.Add("pong-timeout", cli.Duration(&l.Timeouts.Pong, time.Second, 0), "close a connection that doesn't answer a ping for so long")
	t.Add("flush-delay", cli.Duration(&l.FlushDelay, 0, time.Second), "least time between two flushes: messages that come sooner go out "+
		"together, which saves CPU at high rates; 0 = none")
	t.Add("send-buffer", cli.Size(&l.SendBuffer, 0, cli.GiB), "kernel's send buffer per connection (SO_SNDBUF); 0 = the kernel's default")
	t.Add("notsent-lowat", cli.SizeOrOff(&l.NotSentLowat, cli.GiB), "unsent bytes that the kernel takes for a connection "+
		"(TCP_NOTSENT_LOWAT); what is more waits in the server, once for all who are owed it, and counts to -lag-bytes; 0 = off")
	t.Add("reject", cli.Choice(&o.Hub.Reject, rejections),
		"answer a bad token with an upgrade and close code 1008, which a page can read, or with status 401")
	t.Add("origins", origins(&o.Hub.Origins), "origins that browsers may connect from, separated by commas: https://app.example.com, "+
		"https://*.example.com for every host below it, * for any; empty = the same host, or no Origin header").Reloads()
}

func (o *options) addMessages(t *cli.Set) {
	l := &o.Hub.Loops
	t.Group("Messages")
	t.Add("max-message-in", cli.Size(&l.MaxMessageIn, minMessage, cli.GiB), "a larger message from a client closes its connection with 1009").Reloads()
	t.Add("max-message-out", cli.Size(&o.Hub.MaxMessageOut, minMessage, cli.GiB),
		"a larger message is an error to its publisher; by default at most a 16th of the memory, or PYLON_WS_MAX_FRAME (bytes)")
	t.Add("compression", cli.Choice(&l.Compression, compressions), "permessage-deflate for clients that offer it: none; of what is sent "+
		"(out), where a client's compressed message may have 4KiB inflated; or both ways, up to -max-message-in (on)")
	t.Add("compression-threshold", cli.Size(&l.CompressionThreshold, 1, cli.GiB), "messages shorter than that are sent uncompressed")
	t.Add("queue-messages", cli.Int(&l.Memory.QueueMessages, 1, maxCount),
		"messages that may wait for one event loop; the oldest lossy one is dropped beyond it")
	t.Add("queue-bytes", cli.Size(&l.Memory.QueueBytes, minMessage, noLimit),
		"bytes that may wait for one event loop; at least -max-message-out; by default at most an eighth of the memory")
	t.Add("slow", cli.Choice(&l.Slow.Policy, slowPolicies), "what happens to a client that falls behind by -lag-time or -lag-bytes; drop-oldest "+
		"is for those that connect with since and know resync: who doesn't is closed with 1013 before it misses anything; "+
		"catch-up lets go of change events too, and gives them from the change log once the client reads")
	t.Add("lag-time", cli.Duration(&l.Slow.LagTime, 100*time.Millisecond, 0),
		"how long a client that is behind may acknowledge nothing of what it was sent, before -slow acts").Reloads()
	t.Add("lag-bytes", cli.Size(&l.Slow.LagBytes, 4*cli.KiB, noLimit),
		"how many bytes may wait for a client beside the largest message among them, before -slow acts").Reloads()
	t.Add("buffer-memory", cli.Size(&l.Memory.BufferBytes, 0, noLimit), "memory for all that is buffered for clients and from them: near it "+
		"those that are furthest behind go, then newcomers are refused; 0 = a quarter of the memory, which is the host's, or the control "+
		"group's limit where that is less")
	t.Add("seq", cli.Choice(&o.Hub.Seqs, seqs), "who numbers change events: this server, or their publishers (given), each above all before it")
	t.Add("routing", cli.Choice(&o.Hub.Routing, routings), "who gets topic messages and change events: every client, or only those that subscribed")
	t.Add("relays", cli.Choice(&o.Hub.Relays, relays), "whom presence and topic messages of clients reach, and the news that one has left: its "+
		"tenant's clients (those without a tenant are a group too), every client, or nobody; an admin's reach every client unless off")
	t.Add("max-subscriptions", cli.Int(&o.Hub.MaxSubscriptions, 1, maxCount), "subscriptions that one connection may hold").Reloads()
}

func (o *options) addRates(t *cli.Set) {
	r := &o.Hub.Rates
	t.Group("Rate limits: what is over one is dropped; who goes on at over twice the rate gets 1008")
	t.Add("message-rate", cli.IntOrOff(&r.Messages.PerSecond, maxRate),
		"messages per second that one connection may send, of all kinds and pings too; 0 = no limit").Reloads()
	t.Add("message-burst", cli.Int(&r.Messages.Burst, 1, maxCount),
		"messages that a connection may send at once, as it does to subscribe again after a reconnect").Reloads()
	t.Add("byte-rate", cli.SizeOrOff(&r.Bytes.PerSecond, cli.GiB), "bytes per second that one connection may send; 0 = no limit").Reloads()
	t.Add("byte-burst", cli.Size(&r.Bytes.Burst, 1, cli.GiB), "bytes that a connection may send at once, above -byte-rate").Reloads()
	t.Add("relay-rate", cli.IntOrOff(&r.Relays.PerSecond, maxRate),
		"presence and topic messages per second that one connection may have relayed; 0 = no limit").Reloads()
	t.Add("relay-burst", cli.Int(&r.Relays.Burst, 1, maxRate), "messages that a connection may have relayed at once, above -relay-rate").Reloads()
	t.Add("subscribe-rate", cli.IntOrOff(&r.Subscribes.PerSecond, maxRate),
		"subscriptions per second that one connection may begin or end; 0 = no limit").Reloads()
	t.Add("subscribe-burst", cli.Int(&r.Subscribes.Burst, 0, maxCount),
		"subscriptions that a connection may begin or end at once; 0 = as many as it may hold, at least 1000").Reloads()
	t.Add("user-allowance", cli.IntOrOff(&r.PerUser, maxCount),
		"how many connections' limits all connections of one user have together; 0 = as much as they have each").Reloads()
	t.Add("address-allowance", cli.IntOrOff(&r.PerAddress, maxCount),
		"the same for one client address (of IPv6, for a /64); counts only with -max-per-ip").Reloads()
}

func (o *options) addLog(t *cli.Set) {
	t.Group("Change log and rows")
	t.Add("log", cli.Word(&o.Log.Kind, logDisk, logMemory, logNATS), "where change events are kept for clients that reconnect: on disk, in the "+
		"data directory, where a publisher's answer means that the event is stored; in memory, until the server ends; or on NATS, for several nodes")
	t.Add("log-events", cli.Int(&o.Log.Events, 0, 1<<30), fmt.Sprintf(
		"change events kept for clients that reconnect; 0 = %d on disk and NATS, %d in memory", disklog.DefaultEvents, hub.DefaultLogEvents)).Reloads()
	t.Add("log-bytes", cli.OrZero(&o.Log.Bytes, cli.Size(&o.Log.Bytes, cli.KiB, noLimit)), fmt.Sprintf("bytes of change events kept for clients that reconnect, "+
		"and as many of published rows on NATS; 0 = %s on disk and NATS, in memory %s or at most a 16th of it",
		cli.FormatSize(disklog.DefaultBytes), cli.FormatSize(o.Log.Tail))).Reloads()
	t.Add("log-age", cli.OrZero(&o.Log.Age, cli.Duration(&o.Log.Age, 100*time.Millisecond, 10*365*24*time.Hour)), // the least that NATS takes
		"how long change events are kept on disk or NATS at most; 0 = until there are more than -log-events or -log-bytes").Reloads()
	t.Add("log-tail", cli.Size(&o.Log.Tail, cli.KiB, noLimit), "bytes of the newest change events that are in memory too, with -log disk or "+
		"nats, to be read from there; by default at most a 16th of the memory")
	t.Add("snapshot-url", cli.URL(&o.SnapshotURL), "HTTP callback that supplies all that a client may see which begins with since=0; "+
		"empty = it gets what the log retains, and is told when that isn't all")
	t.Add("snapshot-timeout", cli.Duration(&o.Hub.Views.Timeout, 100*time.Millisecond, 0),
		"how long -snapshot-url may take for the next of its answer, up to 64 KiB or 512 events, and for its end")
	t.Add("rows-url", cli.URL(&o.RowsURL), "HTTP callback that supplies rows' snapshots and says who may read them; "+
		"empty = the snapshots that were published to this server")
	t.Add("rows-timeout", cli.Duration(&o.Hub.Rows.Timeout, 100*time.Millisecond, 0), "how long a call of -rows-url may take")
	t.Add("rows-recheck", cli.Duration(&o.Hub.Rows.Recheck, 0, 24*time.Hour), "how often -rows-url is asked again about each row that a client "+
		"is subscribed to, so that a right that was taken away ends the subscription; 0 = never")
	t.Add("rows-max", cli.Int(&o.Hub.Rows.Max, 1, maxCount), "published snapshots that are stored; with -log nats, that are in memory too")
	t.Add("rows-bytes", cli.Size(&o.Hub.Rows.MaxBytes, cli.KiB, noLimit),
		"bytes of published snapshots that are stored, or with -log nats in memory too; by default at most an eighth of the memory")
}

func (o *options) addNodes(t *cli.Set) {
	const file = "file"
	n, c := &o.Log.NATS, &o.Log.Cluster
	servers := cli.Checked(&n.Servers, "URLs", "a list of URLs such as nats://10.0.0.1:4222,tls://nats.example.com:4222", areNATSURLs)
	routes := cli.Checked(&c.Routes, "addresses", "a list of addresses such as 10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222", areAddresses)
	servers.Mask, routes.Mask = cli.WithoutSecrets, cli.WithoutSecrets // NATS' own routes are URLs with passwords
	t.Group("Several nodes (-log nats)")
	t.Add("nats", servers, "servers of the NATS that has the change log, with commas between them; with a password only in BUSBAR_NATS or a file")
	t.Add("nats-creds", cli.Path(&n.Creds, file), "credentials file (JWT and NKEY) to show to -nats")
	t.Add("nats-nkey", cli.Path(&n.NKey, file), "file with the seed of an NKEY to show to -nats")
	t.Add("nats-ca", cli.Path(&n.CA, file), "certificates (PEM) that -nats' own is checked with; empty = the system's")
	t.Add("nats-cert", cli.Path(&n.Cert, file), "certificate (PEM) to show to -nats")
	t.Add("nats-key", cli.Path(&n.Key, file), "key (PEM) of -nats-cert")
	t.Add("nats-stream", cli.Text(&n.Stream, "name"), "of the stream, which its subjects begin with; made when absent")
	t.Add("nats-replicas", cli.Int(&n.Replicas, 1, 5), "servers that each event is stored on; 1 where NATS is a single server")
	t.Add("nats-timeout", cli.Duration(&n.Timeout, time.Second, 0),
		"how long a publisher waits while the stream has no leader, which is up to 9s after a server was killed; then 503")
	t.Add("nats-publish", cli.Bool(&n.Publish),
		"take what is published by requests to the subject that is -nats-stream and .publish, from whoever -nats lets send there")
	t.Add("node", cli.Int(&o.Hub.Loops.Node, 0, 255), "number of this node, which no other of the same stream has: its clients' ids begin with it")
	t.Add("cluster-name", cli.Text(&c.Name, "name"), "of the nodes that are a NATS cluster themselves")
	t.Add("cluster-listen", cli.Text(&c.Listen, "address"), "where the other nodes reach this one; given, NATS runs inside of this process")
	t.Add("cluster-routes", routes, "-cluster-listen of all nodes, three or more, with commas between them")
	t.Add("cluster-secret-file", cli.Path(&c.Secret, file), "file whose one line is what the nodes show each other")
	t.Add("cluster-ca", cli.Path(&c.CA, file), "certificates (PEM) that other nodes' are checked with; empty = no TLS between nodes")
	t.Add("cluster-cert", cli.Path(&c.Cert, file), "certificate (PEM) of this node, for its clients and servers alike")
	t.Add("cluster-key", cli.Path(&c.Key, file), "key (PEM) of -cluster-cert")
}

func (o *options) addAuth(t *cli.Set) {
	j := &o.JWT
	t.Group("Authentication")
	t.Add("auth", cli.Word(&o.Auth, authSessions, authJWT, authHTTP, authNone), "who says what a token is worth: the session store, a signature, "+
		"an HTTP service, or nobody (none: every client is let in)")
	t.AddShared("data", cli.Path(&o.Data, "directory"), "data directory with changes.db, busbar.db and admin-token; made when absent")
	t.Add("lock-wait", cli.Duration(&o.LockWait, 0, time.Hour), "how long to wait at the start while another server has the data directory; "+
		"while that one drains it is waited for in any case; 0 = end with an error at once unless it drains")
	t.Add("sessions-db", cli.Path(&o.SessionsDB, "file"), "Pylon's SQLite file, read only; one in WAL mode is copied to the data directory, "+
		"whenever it has changed; empty = busbar.db there")
	addAdminTokenFile(t, &o.AdminTokenFile).Reloads()
	t.Add("guests", cli.Bool(&o.Guests.Allowed), "let POST /api/auth/guest make sessions for new guests")
	t.Add("guest-ttl", cli.Duration(&o.Guests.TTL, time.Minute, 0), "how long a guest's session lives")
	t.Add("jwt-key", cli.Path(&j.KeyFile, "file"), "file with the key that tokens are signed with: an HMAC secret, or a public key in PEM").Reloads()
	t.Add("jwt-jwks", cli.Text(&j.JWKSURL, "URL"), "URL of the JSON Web Key Set with the keys that tokens are signed with").Mask = cli.WithoutSecrets
	t.Add("jwt-issuer", cli.Text(&j.Issuer, "name"), "what a token's iss has to be; empty = anything")
	t.Add("jwt-audience", cli.Text(&j.Audience, "name"), "what a token's aud has to hold; empty = anything")
	t.Add("jwt-user-claim", cli.Text(&j.UserClaim, "claim"), "claim that holds the user's id")
	t.Add("jwt-tenant-claim", cli.Text(&j.TenantClaim, "claim"), "claim that holds the tenant")
	t.Add("jwt-admin-claim", cli.Text(&j.AdminClaim, "claim"), "claim that makes an admin when it is true; empty = no token does")
	t.Add("jwt-leeway", cli.Duration(&j.Leeway, 0, 0), "how far the clocks of who signs tokens and of this host may differ, for exp, nbf and iat")
	t.Add("jwt-allow-no-exp", cli.Bool(&j.AllowNoExp), "take tokens without exp, which are good for as long as their key is")
	t.Add("jwt-refresh", cli.Duration(&j.RefreshInterval, time.Second, 0),
		"how often the key set of -jwt-jwks is fetched, and how long a key that it no longer has is still believed")
	t.Add("auth-url", cli.URL(&o.AuthHTTP.URL), "HTTP service that -auth http asks about tokens")
	t.Add("auth-timeout", cli.Duration(&o.Hub.AuthTimeout, 100*time.Millisecond, 0),
		"how long finding out what a token is worth may take, a call of -auth-url included")
	t.Add("auth-cache", cli.Duration(&o.AuthHTTP.CacheTTL, 0, 0), "how long an answer about a token is believed; 0 = ask for every connection")
}

func (o *options) addProcess(t *cli.Set) {
	t.Group("Process")
	t.Add("drain", cli.Duration(&o.Drain.Within, 0, 0), "how long clients have to leave after SIGTERM and -drain-delay: they are closed "+
		"at a steady pace, 20 a second at least; by default "+cli.FormatDuration(nodesDrain)+" with -log nats; 0 = end every connection at once").Reloads()
	t.Add("drain-delay", cli.Duration(&o.Drain.Delay, 0, time.Hour), "how long a server that was told to end, and answers health checks "+
		"with 503, goes on as before, so that balancers send it nobody any more").Reloads()
	t.Add("echo", cli.Bool(&o.Echo), "for conformance suites only: send every message back to whoever sent it, and let everybody in; "+
		"there is no hub, API or data, and flags about those are refused")
	t.Add("log-level", cli.Word(&o.Logging.Level, "debug", "info", "warn", "error"), "the least important lines that are logged").Reloads()
	t.Add("log-format", cli.Word(&o.Logging.Format, "text", "json"), "form of a log line")
	t.Add("config", cli.Path(&o.File, "file"), "file with values of flags; those on the command line and in the environment beat it")

	t.Env = false // images often set BUSBAR_VERSION to say what they hold
	t.Add("version", cli.Bool(&o.Version), "print the version and exit")
}

// origins is a list of origins that are allowed, separated by commas. Blank entries are left out.
func origins(p *hub.Origins) cli.Value {
	return cli.Parsed("list", "a list of origins such as https://app.example.com,https://*.example.com, or *", func(text string) bool {
		o, err := hub.ParseOrigins(cli.Entries(text))
		if err == nil {
			*p = o
		}
		return err == nil
	})
}

func areAddresses(text string) bool {
	return !slices.ContainsFunc(cli.Entries(text), func(address string) bool { return !cli.IsAddress(address) })
}

func areNATSURLs(text string) bool {
	return !slices.ContainsFunc(cli.Entries(text), func(server string) bool {
		u, err := url.Parse(server)
		return err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)
	})
}
