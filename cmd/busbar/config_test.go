package main

import (
	"errors"
	"flag"
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/auth"
	"github.com/busbar-ws/busbar/internal/memory"
)

// environment is a getenv over a fixed set of variables.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

var noEnvironment = environment(nil)

func parsed(t *testing.T, args []string, variables map[string]string) Config {
	t.Helper()
	cfg, err := parseConfig(args, environment(variables))
	if err != nil {
		t.Fatalf("parseConfig(%q): %v", args, err)
	}
	return cfg
}

// docs/protocol.md section 7: the defaults that scripts rely on.
func TestDefaults(t *testing.T) {
	got := parsed(t, nil, nil)
	want := Config{
		Hub: hub.Options{
			Loops: eventloop.Options{
				Listen: ":4322", MaxMessageIn: 65536, CompressionThreshold: 256, NotSentLowat: 512 << 10,
				Accept:   eventloop.AcceptOptions{Reserve: 64, MaxPerAddress: 64, MaxHandshakes: 2048, Rate: 2000, Burst: 200},
				Memory:   eventloop.MemoryOptions{QueueMessages: 1024, QueueBytes: 64 << 20, BufferBytes: memory.Defaults().Buffers},
				Slow:     eventloop.SlowOptions{LagTime: 5 * time.Second, LagBytes: 5 << 20},
				Timeouts: eventloop.Timeouts{Handshake: 10 * time.Second, PingInterval: 25 * time.Second, Pong: 10 * time.Second},
			},
			AuthTimeout: 5 * time.Second, Rows: hub.RowOptions{Timeout: 5 * time.Second, Max: 100000, MaxBytes: 256 << 20},
			Views:         hub.ViewOptions{Timeout: 10 * time.Second},
			MaxMessageOut: 16 << 20, MaxSubscriptions: 10000, Workers: 64, WorkerQueue: 100_000,
			Rates: hub.Rates{
				Messages: hub.Limit{PerSecond: 200, Burst: 20_000}, Bytes: hub.Limit{PerSecond: 2 << 20, Burst: 8 << 20},
				Relays: hub.Limit{PerSecond: 20, Burst: 40}, Subscribes: hub.Limit{PerSecond: 100}, PerUser: 8, PerAddress: 32,
			},
		},
		API: "127.0.0.1:4321", APIKeepAlive: 75 * time.Second, Log: LogConfig{
			Kind: "disk", Events: 1_000_000, Bytes: 1 << 30, Tail: 64 << 20,
			NATS: NATSConfig{Stream: "busbar", Replicas: 3, Timeout: 10 * time.Second}, Cluster: ClusterConfig{Name: "busbar"},
		},
		Auth: "sessions", Data: "./busbar-data", GuestTTL: 24 * time.Hour,
		JWT:      auth.JWTOptions{UserClaim: "sub", TenantClaim: "tenant", Leeway: 30 * time.Second, RefreshInterval: 5 * time.Minute},
		AuthHTTP: auth.HTTPOptions{CacheTTL: 30 * time.Second},
		Drain:    30 * time.Second, sources: map[string]string{},
	}
	want.Logging.Level, want.Logging.Format = "info", "text"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("defaults:\n got %+v\nwant %+v", got, want)
	}
}

// everyFlag gives each flag of the daemon a value that isn't its default.
var everyFlag = map[string]string{
	"listen": "10.0.0.1:9002", "api": "[::1]:9001", "api-keep-alive": "65s", "loops": "128", "max-connections": "1000000",
	"max-per-ip": "9", "accept-rate": "0", "accept-burst": "9", "max-handshakes": "77", "proxy-protocol": "required", "trusted-proxies": "10.0.0.0/8, 127.0.0.1", "handshake-timeout": "3s", "ping-interval": "1m30s", "pong-timeout": "1s",
	"flush-delay": "2ms", "send-buffer": "16KiB", "notsent-lowat": "8KB", "reject": "http", "origins": "https://a.example, *",
	"max-message-in": "125", "max-message-out": "1GiB", "compression": "out", "compression-threshold": "1KiB", "queue-messages": "1", "queue-bytes": "2GiB",
	"slow": "drop-oldest", "lag-time": "100ms", "lag-bytes": "4KiB", "buffer-memory": "9GiB", "relay-rate": "0", "relay-burst": "1",
	"message-rate": "0", "message-burst": "1", "byte-rate": "1MB", "byte-burst": "1MiB", "subscribe-rate": "5",
	"subscribe-burst": "6", "user-allowance": "0", "address-allowance": "2",
	"seq": "given", "routing": "subscribed", "relays": "off", "max-subscriptions": "7", "log": "memory", "log-events": "1", "log-bytes": "1KiB", "log-age": "1h", "log-tail": "1MiB",
	"snapshot-url": "http://127.0.0.1:8000/view", "snapshot-timeout": "3s",
	"rows-url": "http://127.0.0.1:8000/rows", "rows-timeout": "2s", "rows-recheck": "10m", "rows-max": "5", "rows-bytes": "1MB",
	"auth": "http", "data": "/srv/busbar", "admin-token-file": "/etc/busbar/token",
	"auth-url": "https://auth.example/check", "auth-timeout": "1s", "auth-cache": "0",
	"drain": "0s", "log-level": "debug", "log-format": "json",
}

// sessionFlags and jwtFlags are those that everyFlag's -auth http has no place for.
var (
	sessionFlags = map[string]string{"sessions-db": "pylon.db", "guests": "true", "guest-ttl": "1h"}
	jwtFlags     = map[string]string{
		"auth": "jwt", "jwt-key": "key.pem", "jwt-issuer": "iss", "jwt-audience": "aud",
		"jwt-user-claim": "uid", "jwt-tenant-claim": "org", "jwt-admin-claim": "adm",
		"jwt-leeway": "1m", "jwt-allow-no-exp": "true",
	}
	natsFlags = map[string]string{
		"log": "nats", "nats": "nats://10.0.0.1:4222, tls://nats.example", "nats-creds": "busbar.creds", "nats-ca": "ca.pem", "nats-cert": "cert.pem",
		"nats-key": "key.pem", "nats-stream": "changes", "nats-replicas": "1", "nats-timeout": "12s", "nats-publish": "true", "node": "7",
	}
	nkeyFlags    = map[string]string{"log": "nats", "nats": "nats://10.0.0.1:4222", "nats-nkey": "nkey"}
	clusterFlags = map[string]string{
		"log": "nats", "cluster-name": "c", "cluster-listen": "10.0.0.1:6222", "cluster-routes": "10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222",
		"cluster-secret-file": "secret", "cluster-ca": "ca.pem", "cluster-cert": "cert.pem", "cluster-key": "key.pem",
	}
	jwksFlags = map[string]string{"auth": "jwt", "jwt-jwks": "https://keys.example/jwks.json", "jwt-refresh": "1m"}
)

// docs/protocol.md section 7: every flag has an environment name, and means the same there.
func TestEnvironmentMeansWhatFlagsMean(t *testing.T) {
	covered := map[string]bool{"version": true} // has no variable
	for _, values := range []map[string]string{everyFlag, sessionFlags, jwtFlags, jwksFlags, natsFlags, nkeyFlags, clusterFlags, {"echo": "true"}} {
		var args []string
		variables := make(map[string]string)
		for name, value := range values {
			args = append(args, "-"+name+"="+value)
			variables[environmentName(name)] = value
			covered[name] = true
		}
		fromFlags, fromVariables := parsed(t, args, nil), parsed(t, nil, variables)
		fromFlags.sources, fromVariables.sources = nil, nil
		if !reflect.DeepEqual(fromFlags, fromVariables) {
			t.Errorf("flags and environment differ:\n%+v\n%+v", fromFlags, fromVariables)
		}
		defaults := reflect.ValueOf(parsed(t, nil, nil))
		if changed := changedFields(reflect.ValueOf(fromFlags), defaults); changed != len(values) {
			t.Errorf("%d flags changed %d fields: %v", len(values), changed, values)
		}
	}
	for _, s := range newServeFlags(new(Config)).settings {
		if !covered[s.name] {
			t.Errorf("-%s is in no table of this test", s.name)
		}
	}
}

func changedFields(a, b reflect.Value) (n int) {
	for i := range a.NumField() {
		switch field := a.Type().Field(i); {
		case !field.IsExported() || reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
		case field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[hub.Origins]():
			n += changedFields(a.Field(i), b.Field(i))
		default:
			n++
		}
	}
	return n
}

func TestFlagBeatsEnvironmentBeatsDefault(t *testing.T) {
	variables := map[string]string{"BUSBAR_LOOPS": "3", "BUSBAR_MAX_PER_IP": "9", "BUSBAR_SLOW": ""}
	cfg := parsed(t, []string{"--loops", "5"}, variables)
	if cfg.Hub.Loops.Loops != 5 || cfg.Hub.Loops.Accept.MaxPerAddress != 9 || cfg.Hub.Loops.Slow.Policy != eventloop.Disconnect {
		t.Errorf("got loops %d, max-per-ip %d, slow %v; want 5, 9, disconnect", cfg.Hub.Loops.Loops, cfg.Hub.Loops.Accept.MaxPerAddress, cfg.Hub.Loops.Slow.Policy)
	}
	want := map[string]string{"loops": "-loops", "max-per-ip": "BUSBAR_MAX_PER_IP"}
	if !maps.Equal(cfg.sources, want) {
		t.Errorf("sources: got %v, want %v", cfg.sources, want)
	}
	// A variable that a flag replaces isn't even read.
	parsed(t, []string{"-loops=5"}, map[string]string{"BUSBAR_LOOPS": "many"})
}

func TestLastOfRepeatedFlagsCounts(t *testing.T) {
	cfg := parsed(t, []string{"-origins", "https://a.example", "-origins", "https://b.example", "-guests", "-guests=false"}, nil)
	if allowed := cfg.Hub.Origins.Allow("https://a.example", ""); allowed || cfg.Guests {
		t.Errorf("the earlier origin is allowed: %v, guests %v; want false, false", allowed, cfg.Guests)
	}
}

// Pylon reads PYLON_WS_MAX_FRAME as a number of bytes; here it is a default only.
func TestPylonMaxFrame(t *testing.T) {
	pylon := func(more ...string) map[string]string {
		variables := map[string]string{"PYLON_WS_MAX_FRAME": "1048576"}
		for i := 0; i < len(more); i += 2 {
			variables[more[i]] = more[i+1]
		}
		return variables
	}
	for _, test := range []struct {
		name      string
		args      []string
		variables map[string]string
		want      int
	}{
		{"alone", nil, pylon(), 1 << 20},
		{"empty", nil, pylon("PYLON_WS_MAX_FRAME", ""), 16 << 20},
		{"below a flag", []string{"-max-message-out", "2MiB"}, pylon(), 2 << 20},
		{"below our variable", nil, pylon("BUSBAR_MAX_MESSAGE_OUT", "3MiB"), 3 << 20},
		{"bad, but replaced", []string{"-max-message-out=2MiB"}, pylon("PYLON_WS_MAX_FRAME", "x"), 2 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parsed(t, test.args, test.variables).Hub.MaxMessageOut; got != test.want {
				t.Errorf("max-message-out: got %d, want %d", got, test.want)
			}
		})
	}
}

func TestAdminTokenComesFromTheEnvironmentAlone(t *testing.T) {
	cfg := parsed(t, nil, map[string]string{"BUSBAR_ADMIN_TOKEN": "s3cret"})
	if cfg.AdminToken != "s3cret" {
		t.Errorf("admin token: got %q", cfg.AdminToken)
	}
	if _, err := parseConfig([]string{"-admin-token", "s3cret"}, noEnvironment); err == nil {
		t.Error("-admin-token was taken; any user of the host could read it")
	}
}

func TestHelpAndVersionComeBeforeChecks(t *testing.T) {
	wrong := environment(map[string]string{"BUSBAR_LOOPS": "many", "PYLON_WS_MAX_FRAME": "x"})
	for _, arg := range []string{"-help", "-h", "--help"} {
		if _, err := parseConfig([]string{"-auth=jwt", arg}, wrong); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s: got %v, want flag.ErrHelp", arg, err)
		}
	}
	if cfg, err := parseConfig([]string{"-version"}, wrong); err != nil || !cfg.Version {
		t.Errorf("-version: got %v, %v; want true, nil", cfg.Version, err)
	}
}
