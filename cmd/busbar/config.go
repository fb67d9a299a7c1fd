package main

import (
	"net/netip"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// Config is what the daemon was told to do. It is written by parseConfig, and
// read-only, so safe from any goroutine, after that. Each field is the flag of the
// same name; its unit, default, range and what zero means stand in the flag's
// declaration (flags_serve_*.go), which is also what -help prints. Sizes are in bytes.
type Config struct {
	// Network.
	Listen           string
	API              string
	APIKeepAlive     time.Duration
	Loops            int
	MaxConnections   int
	MaxPerIP         int
	ProxyProtocol    string
	TrustedProxies   []netip.Prefix
	AcceptRate       int
	AcceptBurst      int
	MaxHandshakes    int
	HandshakeTimeout time.Duration
	PingInterval     time.Duration
	PongTimeout      time.Duration
	SendBuffer       int
	FlushDelay       time.Duration
	NotSentLowat     int
	Reject           string
	Origins          hub.Origins

	// Messages.
	MaxMessageIn         int
	MaxMessageOut        int
	Compression          string
	CompressionThreshold int
	QueueMessages        int
	QueueBytes           int
	Slow                 string
	LagTime              time.Duration
	LagBytes             int
	BufferMemory         int
	Routing              string
	Relays               string
	MaxSubscriptions     int

	// Rate limits.
	MessageRate      int
	MessageBurst     int
	ByteRate         int
	ByteBurst        int
	RelayRate        int
	RelayBurst       int
	SubscribeRate    int
	SubscribeBurst   int
	UserAllowance    int
	AddressAllowance int

	// Change log and rows.
	LogEvents   int
	LogBytes    int
	RowsURL     string
	RowsTimeout time.Duration
	RowsRecheck time.Duration
	RowsMax     int
	RowsBytes   int

	// Authentication.
	Auth           string
	Data           string
	SessionsDB     string
	AdminTokenFile string
	Guests         bool
	GuestTTL       time.Duration
	JWTKey         string
	JWTJWKS        string
	JWTIssuer      string
	JWTAudience    string
	JWTUserClaim   string
	JWTTenantClaim string
	JWTAdminClaim  string
	JWTLeeway      time.Duration
	JWTAllowNoExp  bool
	JWTRefresh     time.Duration
	AuthURL        string
	AuthTimeout    time.Duration
	AuthCache      time.Duration

	// AdminToken comes from BUSBAR_ADMIN_TOKEN alone: anyone on the host can read a
	// process's arguments. Never log it.
	AdminToken string

	// Process.
	Drain     time.Duration
	Echo      bool // conformance test mode: no hub, no API
	LogLevel  string
	LogFormat string
	Version   bool // print the version and do nothing else

	// sources holds the flags that were given, by flag name, as "-loops" or "BUSBAR_LOOPS".
	sources map[string]string
}

// Values of flags that choose between words.
const (
	rejectClose = "close"
	rejectHTTP  = "http"

	slowDisconnect = "disconnect"
	slowDropOldest = "drop-oldest"

	routeAll        = "all"
	routeSubscribed = "subscribed"

	relayTenant = "tenant"
	relayAll    = "all"
	relayOff    = "off"

	authSessions = "sessions"
	authJWT      = "jwt"
	authHTTP     = "http"
	authNone     = "none"
)
