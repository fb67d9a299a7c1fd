//go:build !race && !racedaemon

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/busbar-ws/busbar/internal/natslog"
)

// secureNATS runs a NATS server that asks for something.
func secureNATS(t *testing.T, o *natsserver.Options) (address string) {
	t.Helper()
	o.Port, o.StoreDir = natsserver.RANDOM_PORT, t.TempDir()
	address, _ = startNATSWith(t, o)
	return address
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// keyPair is a key, what it is known by, and its seed.
func keyPair(t *testing.T, kind nkeys.PrefixByte) (pair nkeys.KeyPair, public string, seed []byte) {
	t.Helper()
	pair = must[nkeys.KeyPair](t)(nkeys.CreatePair(kind))
	return pair, must[string](t)(pair.PublicKey()), must[[]byte](t)(pair.Seed())
}

// credentials are a server that wants some, a file that it takes, and one that it doesn't.
func credentials(t *testing.T, dir string) (address, good, bad string) {
	t.Helper()
	operator, operatorKey, _ := keyPair(t, nkeys.PrefixByteOperator)
	account, accountKey, _ := keyPair(t, nkeys.PrefixByteAccount)
	_, systemKey, _ := keyPair(t, nkeys.PrefixByteAccount)
	trusted := must[*jwt.OperatorClaims](t)(jwt.DecodeOperatorClaims(must[string](t)(jwt.NewOperatorClaims(operatorKey).Encode(operator))))
	resolver := new(natsserver.MemAccResolver)
	for _, key := range []string{accountKey, systemKey} {
		claims := jwt.NewAccountClaims(key)
		if key == accountKey {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1}
		}
		if err := resolver.Store(key, must[string](t)(claims.Encode(operator))); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string, expires time.Time) string {
		_, userKey, seed := keyPair(t, nkeys.PrefixByteUser)
		claims := jwt.NewUserClaims(userKey)
		claims.Expires = expires.Unix()
		token := must[string](t)(claims.Encode(account))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, must[[]byte](t)(jwt.FormatUserConfig(token, seed)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	address = secureNATS(t, &natsserver.Options{
		TrustedOperators: []*jwt.OperatorClaims{trusted}, AccountResolver: resolver, SystemAccount: systemKey,
	})
	return address, file("good.creds", time.Now().Add(time.Hour)), file("expired.creds", time.Now().Add(-time.Hour))
}

// docs/cluster.md: what a NATS asks of its clients can be given, and what is wrong ends the start and is named.
func TestNATSCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, userKey, seed := keyPair(t, nkeys.PrefixByteUser)
	_, _, otherSeed := keyPair(t, nkeys.PrefixByteUser)
	byNKey := secureNATS(t, &natsserver.Options{Nkeys: []*natsserver.NkeyUser{{Nkey: userKey}}})
	nkey, otherNKey := write("nkey", seed), write("other-nkey", otherSeed)
	byCreds, creds, expired := credentials(t, dir)
	byPassword, _ := startNATS(t, t.TempDir(), natsserver.RANDOM_PORT)
	roots := x509.NewCertPool()
	ca, otherCA := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "other-ca.pem")
	writeCertificate(t, ca, roots)
	writeCertificate(t, otherCA, x509.NewCertPool())
	pair := must[tls.Certificate](t)(tls.LoadX509KeyPair(ca, ca))
	byTLS := secureNATS(t, &natsserver.Options{
		TLSTimeout: 10, TLSVerify: true,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert},
	})
	nothing, missing := write("nothing", []byte("nothing\n")), filepath.Join(dir, "missing")

	for name, test := range map[string]struct {
		with natsOptions
		want string // empty: it connects
	}{
		"password":       {natsOptions{Servers: "nats://busbar:" + natsPassword + "@" + byPassword}, ""},
		"wrong password": {natsOptions{Servers: "nats://busbar:other@" + byPassword}, "Authorization Violation"},
		"no password":    {natsOptions{Servers: "nats://" + byPassword}, "Authorization Violation"},

		"NKEY":              {natsOptions{Servers: "nats://" + byNKey, NKey: nkey}, ""},
		"unknown NKEY":      {natsOptions{Servers: "nats://" + byNKey, NKey: otherNKey}, "Authorization Violation"},
		"no NKEY":           {natsOptions{Servers: "nats://" + byNKey, NKey: nothing}, "-nats-nkey: "},
		"no file of a NKEY": {natsOptions{Servers: "nats://" + byNKey, NKey: missing}, "-nats-nkey: "},

		"credentials":         {natsOptions{Servers: "nats://" + byCreds, Creds: creds}, ""},
		"expired credentials": {natsOptions{Servers: "nats://" + byCreds, Creds: expired}, "uthorization"},
		"without credentials": {natsOptions{Servers: "nats://" + byCreds}, "uthorization"},
		"no credentials":      {natsOptions{Servers: "nats://" + byCreds, Creds: nothing}, "-nats-creds: "},
		"no file":             {natsOptions{Servers: "nats://" + byCreds, Creds: missing}, "-nats-creds: "},

		"TLS":                    {natsOptions{Servers: "tls://" + byTLS, CA: ca, Cert: ca, Key: ca}, ""},
		"another CA":             {natsOptions{Servers: "tls://" + byTLS, CA: otherCA, Cert: ca, Key: ca}, "certificate"},
		"the system's CAs":       {natsOptions{Servers: "tls://" + byTLS, Cert: ca, Key: ca}, "certificate"},
		"no certificate":         {natsOptions{Servers: "tls://" + byTLS, CA: ca}, "certificate"},
		"another certificate":    {natsOptions{Servers: "tls://" + byTLS, CA: ca, Cert: otherCA, Key: otherCA}, "certificate"},
		"a CA that is none":      {natsOptions{Servers: "tls://" + byTLS, CA: nothing}, "-nats-ca: "},
		"a certificate's no key": {natsOptions{Servers: "tls://" + byTLS, CA: ca, Cert: ca, Key: nothing}, "-nats-cert and -nats-key: "},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			options, err := test.with.options()
			if err == nil {
				var l *natslog.Log
				l, err = natslog.Open(ctx, natslog.Options{
					Servers: test.with.Servers, NATS: options, Stream: "credentials", Replicas: 1, MaxEvents: 10, MaxBytes: 1 << 20,
					TailBytes: 1 << 10, PublishTimeout: time.Second, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
				})
				if err == nil {
					_ = l.Close()
				}
			}
			switch {
			case ctx.Err() != nil:
				t.Errorf("it waits for what won't come: %v", err)
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), natsPassword)):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
