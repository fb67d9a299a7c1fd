package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/memory"
)

// environment is a getenv over a fixed set of variables.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

var noEnvironment = environment(nil)

func parsed(t *testing.T, args []string, variables map[string]string) *options {
	t.Helper()
	cfg, err := parseOptions(args, environment(variables))
	if err != nil {
		t.Fatalf("parseOptions(%q): %v", args, err)
	}
	return cfg
}

// docs/protocol.md section 7: the defaults that scripts rely on.
func TestDefaults(t *testing.T) {
	got := parsed(t, nil, nil)
	want := &options{
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
		API: apiOptions{Address: "127.0.0.1:4321", KeepAlive: 75 * time.Second}, Log: logOptions{
			Kind: "disk", Events: 1_000_000, Bytes: 1 << 30, Tail: 64 << 20,
			NATS: natsOptions{Stream: "busbar", Replicas: 3, Timeout: 10 * time.Second}, Cluster: clusterOptions{Name: "busbar"},
		},
		Auth: "sessions", Data: "./busbar-data", Guests: guestOptions{TTL: 24 * time.Hour},
		JWT:      auth.JWTOptions{UserClaim: "sub", TenantClaim: "tenant", Leeway: 30 * time.Second, RefreshInterval: 5 * time.Minute},
		AuthHTTP: auth.HTTPOptions{CacheTTL: 30 * time.Second},
		Drain:    drainOptions{Within: 5 * time.Second}, Logging: loggingOptions{"info", "text"}, flags: got.flags,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("defaults:\n got %+v\nwant %+v", got, want)
	}
	if got := parsed(t, []string{"-log", "nats", "-nats", "nats://10.0.0.1:4222"}, nil).Drain.Within; got != nodesDrain {
		t.Errorf("one of several nodes drains for %v", got)
	}
}

// everyFlag gives each flag of the daemon a value that isn't its default.
var everyFlag = map[string]string{
	"listen": "10.0.0.1:9002", "api": "[::1]:9001", "api-keep-alive": "65s", "metrics": "127.0.0.1:9003", "loops": "128", "max-connections": "1000000",
	"max-per-ip": "9", "accept-rate": "0", "accept-burst": "9", "max-handshakes": "77", "proxy-protocol": "required", "trusted-proxies": "10.0.0.0/8, 127.0.0.1", "handshake-timeout": "3s", "ping-interval": "1m30s", "pong-timeout": "1s",
	"flush-delay": "2ms", "send-buffer": "16KiB", "notsent-lowat": "8KB", "reject": "http", "origins": "https://a.example, *",
	"max-message-in": "125", "max-message-out": "1GiB", "compression": "out", "compression-threshold": "1KiB", "queue-messages": "1", "queue-bytes": "2GiB",
	"slow": "drop-oldest", "lag-time": "100ms", "lag-bytes": "4KiB", "buffer-memory": "9GiB", "relay-rate": "0", "relay-burst": "1",
	"message-rate": "0", "message-burst": "1", "byte-rate": "1MB", "byte-burst": "1MiB", "subscribe-rate": "5",
	"subscribe-burst": "6", "user-allowance": "0", "address-allowance": "2",
	"seq": "given", "routing": "subscribed", "relays": "off", "max-subscriptions": "7", "log": "memory", "log-events": "1", "log-bytes": "1KiB", "log-age": "1h", "log-tail": "1MiB",
	"snapshot-url": "http://127.0.0.1:8000/view", "snapshot-timeout": "3s",
	"rows-url": "http://127.0.0.1:8000/rows", "rows-timeout": "2s", "rows-recheck": "10m", "rows-max": "5", "rows-bytes": "1MB",
	"auth": "http", "data": "/srv/busbar", "lock-wait": "9s", "admin-token-file": "/etc/busbar/token",
	"auth-url": "https://auth.example/check", "auth-timeout": "1s", "auth-cache": "0",
	"drain": "0s", "drain-delay": "2s", "log-level": "debug", "log-format": "json",
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
		"nats-key": "key.pem", "nats-stream": "changes", "nats-replicas": "1", "nats-timeout": "12s", "nats-publish": "true", "node": "7", "drain": "7s",
	}
	nkeyFlags    = map[string]string{"log": "nats", "nats": "nats://10.0.0.1:4222", "nats-nkey": "nkey", "drain": "7s"}
	clusterFlags = map[string]string{
		"log": "nats", "cluster-name": "c", "cluster-listen": "10.0.0.1:6222", "cluster-routes": "10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222",
		"drain": "7s", "cluster-secret-file": "secret", "cluster-ca": "ca.pem", "cluster-cert": "cert.pem", "cluster-key": "key.pem",
	}
	jwksFlags = map[string]string{"auth": "jwt", "jwt-jwks": "https://keys.example/jwks.json", "jwt-refresh": "1m"}
)

// docs/protocol.md section 7: every flag has an environment name, and means the same there.
func TestEnvironmentMeansWhatFlagsMean(t *testing.T) {
	covered := map[string]bool{"version": true, "config": true} // has no variable; has a test of its own
	for _, values := range []map[string]string{everyFlag, sessionFlags, jwtFlags, jwksFlags, natsFlags, nkeyFlags, clusterFlags, {"echo": "true"}} {
		var args []string
		variables := make(map[string]string)
		for name, value := range values {
			args = append(args, "-"+name+"="+value)
			variables[cli.EnvName(name)] = value
			covered[name] = true
		}
		fromFlags, fromVariables := parsed(t, args, nil), parsed(t, nil, variables)
		fromFlags.flags, fromVariables.flags = nil, nil
		if !reflect.DeepEqual(fromFlags, fromVariables) {
			t.Errorf("flags and environment differ:\n%+v\n%+v", fromFlags, fromVariables)
		}
		defaults := reflect.ValueOf(*parsed(t, nil, nil))
		if changed := changedFields(reflect.ValueOf(*fromFlags), defaults); changed != len(values) {
			t.Errorf("%d flags changed %d fields: %v", len(values), changed, values)
		}
	}
	for _, f := range helpFlags().Flags {
		if !covered[f.Name] {
			t.Errorf("-%s is in no table of this test", f.Name)
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
	if got := []string{cfg.flags.Flag("loops").Given, cfg.flags.Flag("max-per-ip").Given}; !slices.Equal(got, []string{"-loops", "BUSBAR_MAX_PER_IP"}) ||
		!slices.Equal(cfg.given(), []string{"loops", "max-per-ip"}) {
		t.Errorf("given %v, as %v", cfg.given(), got)
	}
	// A variable that a flag replaces isn't even read.
	parsed(t, []string{"-loops=5"}, map[string]string{"BUSBAR_LOOPS": "many"})
}

func TestLastOfRepeatedFlagsCounts(t *testing.T) {
	cfg := parsed(t, []string{"-origins", "https://a.example", "-origins", "https://b.example", "-guests", "-guests=false"}, nil)
	if allowed := cfg.Hub.Origins.Allow("https://a.example", ""); allowed || cfg.Guests.Allowed {
		t.Errorf("the earlier origin is allowed: %v, guests %v; want false, false", allowed, cfg.Guests.Allowed)
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
	if _, err := parseOptions([]string{"-admin-token", "s3cret"}, noEnvironment); err == nil {
		t.Error("-admin-token was taken; any user of the host could read it")
	}
}

func TestHelpAndVersionComeBeforeChecks(t *testing.T) {
	wrong := environment(map[string]string{"BUSBAR_LOOPS": "many", "PYLON_WS_MAX_FRAME": "x"})
	for _, arg := range []string{"-help", "-h", "--help"} {
		if _, err := parseOptions([]string{"-auth=jwt", arg}, wrong); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s: got %v, want flag.ErrHelp", arg, err)
		}
	}
	if cfg, err := parseOptions([]string{"-version"}, wrong); err != nil || !cfg.Version {
		t.Errorf("-version: got %v, %v; want true, nil", cfg.Version, err)
	}
}

func TestFlagsWithoutEffectAreWarnings(t *testing.T) {
	for _, test := range []struct {
		args      string
		variables map[string]string
		want      []string
	}{
		{args: "-jwt-issuer i", want: []string{"-jwt-issuer has no effect without -auth jwt"}},
		{args: "-auth none -sessions-db p.db", want: []string{"-sessions-db has no effect without -auth sessions"}},
		{args: "-auth none -guests", want: []string{"-guests has no effect without -auth sessions"}},
		{args: "-guest-ttl 1h", want: []string{"-guest-ttl has no effect without -guests"}},
		{args: "-max-per-ip 0 -address-allowance 3", want: []string{"-address-allowance has no effect without -max-per-ip"}},
		{args: "-compression-threshold 1KiB", want: []string{"-compression-threshold has no effect without -compression out or on"}},
		{args: "-auth-url http://a/b -auth-cache 0", want: []string{"-auth-cache has no effect without -auth http", "-auth-url has no effect without -auth http"}},
		{args: "-rows-url http://a/b -rows-max 5 -rows-bytes 1MiB", want: []string{"-rows-bytes has no effect with -rows-url", "-rows-max has no effect with -rows-url"}},
		{args: "-accept-rate 0 -accept-burst 5", want: []string{"-accept-burst has no effect with -accept-rate 0"}},
		{args: "-message-rate 0 -message-burst 5", want: []string{"-message-burst has no effect with -message-rate 0"}},
		{args: "-byte-rate 0 -byte-burst 5", want: []string{"-byte-burst has no effect with -byte-rate 0"}},
		{args: "-subscribe-rate 0 -subscribe-burst 5", want: []string{"-subscribe-burst has no effect with -subscribe-rate 0"}},
		{args: "-relay-rate 0 -relay-burst 5", want: []string{"-relay-burst has no effect with -relay-rate 0"}},
		{args: "-relays off -relay-rate 0 -relay-burst 5", want: []string{"-relay-burst has no effect with -relays off", "-relay-rate has no effect with -relays off"}},
		{args: "-cluster-listen 10.0.0.1:1 -node 3", want: []string{"-cluster-listen has no effect without -log nats", "-node has no effect without -log nats"}},
		{args: "-log nats -nats nats://10.0.0.1 -cluster-name c", want: []string{"-cluster-name has no effect without -cluster-listen"}},
		{args: "-rows-recheck 1m", want: []string{"-rows-recheck has no effect without -rows-url"}},
		{args: "-snapshot-timeout 3s", want: []string{"-snapshot-timeout has no effect without -snapshot-url"}},
		{args: "-snapshot-url http://a/b -snapshot-timeout 3s"},
		{
			args: "-snapshot-url http://u:s3cret@a/b", variables: map[string]string{"BUSBAR_ROWS_URL": "http://u:s3cret@a/b"},
			want: []string{"-snapshot-url holds a user or password, which anyone on this host can read on the command line; give it as BUSBAR_SNAPSHOT_URL"},
		},
		{variables: map[string]string{"BUSBAR_ROWS_TIMEOUT": "1s"}, want: []string{"BUSBAR_ROWS_TIMEOUT has no effect without -rows-url"}},
		{args: "-auth http -auth-url http://a/b -auth-timeout 1s -guests=false -jwt-issuer i", want: []string{"-jwt-issuer has no effect without -auth jwt"}},
		{args: "-rows-url http://a/b -rows-timeout 1s -rows-recheck 1m -guests -guest-ttl 1h -address-allowance 3"},
		{args: "-auth none -auth-timeout 1s -trusted-proxies 10.0.0.0/8 -rows-max 5 -rows-bytes 1MiB -accept-burst 5"}, // of look-ups; of the API
		{args: "-message-burst 5 -byte-burst 5 -subscribe-burst 5 -relay-burst 5 -relay-rate 1 -relays all"},
	} {
		var text bytes.Buffer
		cfg := parsed(t, strings.Fields(test.args), test.variables)
		cfg.warn(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		want := ""
		for _, warning := range test.want {
			want += fmt.Sprintf("level=WARN msg=%q\n", warning)
		}
		if text.String() != want {
			t.Errorf("%s %v: warned\n%swant\n%s", test.args, test.variables, &text, want)
		}
	}
}

// What nobody has given fits into the memory, however little there is; what was given stays.
func TestSizesFitTheMemory(t *testing.T) {
	of := func(limit int64, args ...string) (*options, error) {
		o := defaultOptions(memory.Share(limit))
		return o, o.parse(args, noEnvironment, memory.Share(limit))
	}
	given, err := of(256*cli.MiB, "-rows-bytes", "512MiB", "-buffer-memory", "300MiB")
	if err != nil || given.Hub.Rows.MaxBytes != 512*cli.MiB || given.Hub.Loops.Memory.BufferBytes != 300*cli.MiB || given.Log.Tail != 16*cli.MiB {
		t.Errorf("given sizes became %+v, %v", given, err)
	}
	for limit := int64(16 * cli.MiB); limit < 1<<42; limit += limit/3 + 4321 {
		o, err := of(limit, "-compression", "on")
		if err != nil {
			t.Errorf("%d: %v", limit, err)
		}
		if o.Hub.Loops.Memory.BufferBytes != int(limit/4) {
			t.Errorf("%d: -buffer-memory is %d, not a quarter", limit, o.Hub.Loops.Memory.BufferBytes)
		}
		if kept := o.doctorServer().Kept(); kept > limit/4*3 {
			t.Errorf("%d: up to %d may be kept", limit, kept)
		}
	}
}

func TestErrorsOfBufferMemory(t *testing.T) {
	for _, test := range []badConfig{
		{args: "-queue-bytes 64MiB -buffer-memory 127MiB", want: `-buffer-memory: "127MiB" is less than twice -queue-bytes 64MiB, so that one queue alone could have clients ended`},
		{args: "-buffer-memory 1GiB -lag-bytes 600MiB", want: `-buffer-memory: "1GiB" is less than twice -lag-bytes 600MiB, so that one queue alone could have clients ended`},
		{args: "-buffer-memory lots", want: `-buffer-memory: "lots" isn't a size of at least 0, in bytes or with a unit, such as 64KiB`},
	} {
		test.check(t)
	}
}

// A start that fails names the flag that was given, and not one that follows from the memory.
func TestErrorsOfSizesThatDontFitTheMemory(t *testing.T) {
	for flag, want := range map[string]string{
		"lag-bytes":   `-lag-bytes: "64MiB" is more than 32MiB, half of -buffer-memory, which is a quarter of the memory by default`,
		"queue-bytes": `-queue-bytes: "64MiB" is more than 32MiB, half of -buffer-memory, which is a quarter of the memory by default`,
	} {
		s := memory.Share(256 * cli.MiB)
		if err := defaultOptions(s).parse([]string{"-" + flag, "64MiB", "-max-message-out", "1MiB"}, noEnvironment, s); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestCommandsWarnOfMisspeltVariables(t *testing.T) {
	o := runCommand("", []string{"BUSBAR_DATTA=/nowhere"}, "session", "create", "-user", "alice", "-data", t.TempDir())
	o.want(t, exitOK, "BUSBAR_DATTA", "nearest=BUSBAR_DATA")
}

func TestMisspeltVariables(t *testing.T) {
	for pair, meant := range map[string]string{
		"BUSBAR_MAX_CONECTIONS=5":                 "BUSBAR_MAX_CONNECTIONS",
		"BUSBAR_max_connections=5":                "BUSBAR_MAX_CONNECTIONS",
		"BUSBAR_BUFER_MEMORY=s3cret":              "BUSBAR_BUFFER_MEMORY",
		"BUSBAR_ADMIN_TOKN=s3cret":                "BUSBAR_ADMIN_TOKEN",
		"BUSBAR_MAX_CONNECTIONS=5":                "",
		"BUSBAR_ADMIN_TOKEN=s3cret":               "",
		"BUSBAR_TOKEN=s3cret":                     "",
		"BUSBAR_SERVICE_HOST=10.0.0.1":            "",
		"BUSBAR_PORT=tcp://10.0.0.1:4322":         "",
		"BUSBAR_PORT_4322_TCP=tcp://10.0.0.1:432": "",
		"OTHER_MAX_CONECTIONS=5":                  "",
	} {
		var text bytes.Buffer
		warnOfMisspelt(slog.New(slog.NewTextHandler(&text, nil)), []string{"HOME=/", pair})
		switch {
		case meant == "" && text.Len() > 0:
			t.Errorf("%s: %s", pair, &text)
		case meant != "" && !strings.HasSuffix(text.String(), "nearest="+meant+"\n"):
			t.Errorf("%s: %q, want %s named", pair, &text, meant)
		}
		if strings.Contains(text.String(), "s3cret") {
			t.Errorf("a value is shown: %s", &text)
		}
	}
}

// A file has what flags and variables don't, by the flags' names.
func TestConfigFile(t *testing.T) {
	file := temporaryFile(t, "# ours\nloops = 3\nmax-per-ip\t= 9 # an office\n\n  log-level warn\nguests = true\n"+
		"nats = nats://u:s3cret@a:4222\nlog = nats\norigins = https://a.example, https://b.example\r\n")
	variables := map[string]string{"BUSBAR_CONFIG": file, "BUSBAR_LOG_LEVEL": "debug"}
	o := parsed(t, []string{"-loops", "5"}, variables)
	if l := &o.Hub.Loops; l.Loops != 5 || l.Accept.MaxPerAddress != 9 || o.Logging.Level != "debug" || !o.Guests.Allowed || !o.Hub.Origins.Allow("https://b.example", "") {
		t.Errorf("%+v", o)
	}
	if given := o.source("max-per-ip"); given != file+":3: max-per-ip" {
		t.Errorf("-max-per-ip is from %s", given)
	}
	out := runCommand("", []string{"BUSBAR_CONFIG=" + file, "BUSBAR_LOG_LEVEL=debug", "BUSBAR_ADMIN_TOKEN=s3cret"}, "config", "-loops", "5")
	out.want(t, exitOK)
	for _, want := range []string{"loops = 5 # -loops\n", "max-per-ip = 9 # " + file + ":3: max-per-ip\n", "log-level = debug # BUSBAR_LOG_LEVEL\n",
		"\n# listen = :4322 # default\n", "nats = nats://…@a:4222 # " + file + ":7: nats\n", "# rows-url is empty\n", "# the admin token is from BUSBAR_ADMIN_TOKEN\n"} {
		if !strings.Contains(regexp.MustCompile(" +#").ReplaceAllString(out.out, " #"), want) {
			t.Errorf("%q isn't in\n%s", want, out.out)
		}
	}
	if strings.Contains(out.out, "s3cret") {
		t.Errorf("a secret is shown:\n%s", out.out)
	}
}

// What config prints is a file that means the same, and sets nothing but what was given.
func TestConfigPrintsAFile(t *testing.T) {
	first := runCommand("", nil, "config", "-loops", "2", "-max-per-ip", "0", "-rows-recheck", "1m", "-origins", "https://a.example", "-trusted-proxies", "10.0.0.0/8, ::1")
	first.want(t, exitOK)
	second := runCommand("", nil, "config", "-config", temporaryFile(t, first.out))
	second.want(t, exitOK)
	runCommand("", nil, "config", "-config", temporaryFile(t, second.out)).want(t, exitOK)
	values := func(text string) string {
		return regexp.MustCompile("(?m) +#.*$|^(# )?config .*\n").ReplaceAllString(text, "")
	}
	if a, b := values(first.out), values(second.out); a != b || strings.Count(a, " = ") < 60 {
		t.Errorf("of\n%s\nit made\n%s", a, b)
	}
	if set := regexp.MustCompile("(?m)^[^#]").FindAllString(second.out, -1); len(set) != 5 {
		t.Errorf("five were given, and these are set:\n%s", second.out)
	}
}

func TestErrorsOfConfigFiles(t *testing.T) {
	for text, want := range map[string]string{
		"lops = 3":               "F:1: lops: no such flag; did you mean loops?",
		"\nqqqq 3":               "F:2: qqqq: no such flag; busbar -help lists them",
		"nats:nats://u:s3cret@a": "F:1: nats:nats://…@a: no such flag; busbar -help lists them",
		"loops = 3\nloops 4":     "F:2: loops: is there twice",
		"loops = many":           `F:1: loops: "many" isn't a whole number from 0 to 128`,
		"config = other":         "F:1: config: isn't for a file",
		"version = true":         "F:1: version: isn't for a file",
		"auth = jwt":             `F:1: auth: "jwt" needs one of -jwt-key and -jwt-jwks`,
		"listen":                 `F:1: listen: "" isn't an address such as :4322, 127.0.0.1:4322 or [::1]:4322`,
	} {
		file := temporaryFile(t, text)
		badConfig{args: "-config " + file, want: strings.ReplaceAll(want, "F:", file+":")}.check(t)
	}
	badConfig{args: "-config /no/such/file", want: "-config: open /no/such/file: no such file or directory"}.check(t)
	badConfig{variables: map[string]string{"BUSBAR_CONFIG": "/no/such/file"}, want: "BUSBAR_CONFIG: open /no/such/file: no such file or directory"}.check(t)
}

// Secrets aren't given where everybody can read them, and what doesn't go together is said before anything is done.
func TestNodesFlags(t *testing.T) {
	t.Parallel()
	inside := func(listen, routes string) []string {
		return []string{"-cluster-listen", listen, "-cluster-routes", routes, "-cluster-secret-file", "s"}
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "needs -nats, or -cluster-listen"},
		{[]string{"-nats", "nats://u:" + natsPassword + "@10.0.0.1"}, "give it as BUSBAR_NATS"},
		{[]string{"-nats", "http://u:" + natsPassword + "@10.0.0.1"}, "isn't a list of URLs"},
		{[]string{"-nats", "nats://10.0.0.1", "-cluster-listen", ":6222"}, "give one of them"},
		{[]string{"-nats", "nats://10.0.0.1", "-nats-cert", "c"}, "go together"},
		{[]string{"-nats", "nats://10.0.0.1", "-seq", "given"}, "numbers its messages itself"},
		{[]string{"-cluster-listen", ":6222"}, "needs -cluster-routes and -cluster-secret-file"},
		{inside("10.0.0.1:6222", "10.0.0.1:6222,10.0.0.2:6222"), "three addresses or more, each once"},
		{inside("10.0.0.1:6222", "10.0.0.1:6222,10.0.0.2:6222,10.0.0.2:6222"), "three addresses or more, each once"},
		{inside(":6222", "10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222"), `and -cluster-listen ":6222" one of them`},
		{append(inside("10.0.0.1:6222", "10.0.0.1:6222, 10.0.0.2:6222, 10.0.0.3:6222"), "-cluster-ca", "c"), "go together"},
	} {
		_, err := parseOptions(append([]string{"-log", "nats"}, test.args...), noEnvironment)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), natsPassword) {
			t.Errorf("%q: %v", test.args, err)
		}
	}
}
