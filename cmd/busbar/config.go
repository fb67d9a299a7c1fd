package main

import (
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/auth"
)

// Config is what the daemon was told to do. It is written by parseConfig, and
// read-only, so safe from any goroutine, after that. The unit, range and meaning of a flag
// stand in its declaration (flags_serve_*.go), which is also what -help prints. Sizes are in bytes.
type Config struct {
	// Hub is what flags say of the hub and its event loops. Where zero means a default there and off in
	// the flag, it is negative.
	Hub hub.Options

	API          string
	APIKeepAlive time.Duration
	Log          LogConfig
	RowsURL      string
	SnapshotURL  string

	Auth       string
	SessionsDB string
	Guests     bool
	GuestTTL   time.Duration
	JWT        auth.JWTOptions
	AuthHTTP   auth.HTTPOptions // a CacheTTL of zero is none

	Data           string
	AdminTokenFile string
	// AdminToken comes from BUSBAR_ADMIN_TOKEN alone: anyone on the host can read a
	// process's arguments. Never log it.
	AdminToken string

	Drain   time.Duration
	Echo    bool // conformance test mode: no hub, no API
	Logging struct{ Level, Format string }
	Version bool // print the version and do nothing else

	// sources holds the flags that were given, by flag name, as "-loops" or "BUSBAR_LOOPS".
	sources map[string]string
}

// LogConfig is what flags say of the change log.
type LogConfig struct {
	Kind   string // logDisk, logMemory or logNATS
	Events int
	Bytes  int
	Age    time.Duration
	Tail   int // of logDisk and logNATS: bytes in memory

	NATS    NATSConfig
	Cluster ClusterConfig
}

// NATSConfig is where the change log of several nodes is.
type NATSConfig struct {
	Servers       string // may hold a password: never log it
	Creds, NKey   string // files
	CA, Cert, Key string
	Stream        string
	Replicas      int
	Timeout       time.Duration
	Publish       bool // take what is published by requests to the stream's name and .publish
}

// ClusterConfig is for the NATS inside of this process.
type ClusterConfig struct {
	Name, Listen, Routes  string
	Secret, CA, Cert, Key string // files
}

// Values of -log.
const (
	logDisk   = "disk"
	logMemory = "memory"
	logNATS   = "nats"
)

// inMemory is how many bytes of events may be in memory, and the flag that says so.
func (c *LogConfig) inMemory() (bytes int, flag string) {
	if c.Kind == logMemory {
		return c.Bytes, "-log-bytes"
	}
	return c.Tail, "-log-tail"
}

// Values of -auth.
const (
	authSessions = "sessions"
	authJWT      = "jwt"
	authHTTP     = "http"
	authNone     = "none"
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
