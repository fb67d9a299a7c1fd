package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// haproxy is HAProxy in front of a daemon, with the configuration of docs/proxies.md.
type haproxy struct {
	*daemon
	addr  string
	roots *x509.CertPool
}

// startHAProxy runs the documented configuration, with this host's addresses in it, and
// with other words in place of send-proxy-v2.
func (d *daemon) startHAProxy(send string) *haproxy {
	d.t.Helper()
	p := &haproxy{daemon: d, addr: idleAddress(d.t), roots: x509.NewCertPool()}
	dir := d.t.TempDir()
	certificate := filepath.Join(dir, "app.pem")
	writeCertificate(d.t, certificate, p.roots)
	config := replaceEach(d.t, documented(d.t, "haproxy"), map[string]string{
		"maxconn 100000": "maxconn 100", "bind :443 ": "bind " + p.addr + " ", "127.0.0.1:4322": d.ws,
		"/etc/haproxy/certs/app.example.com.pem": certificate, "send-proxy-v2": send,
	})
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		d.t.Fatal(err)
	}
	log := newOutput()
	cmd := exec.Command(haproxyPath(), "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		d.t.Fatalf("starting HAProxy (scripts/install-test-tools installs it): %v", err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if d.t.Failed() {
			d.t.Logf("HAProxy:\n%s%s", config, log)
		}
	})
	eventually(d.t, "HAProxy listens", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return p
}

// haproxyPath: it is in sbin, which isn't on everybody's path.
func haproxyPath() string {
	if path, err := exec.LookPath("haproxy"); err == nil {
		return path
	}
	return "/usr/sbin/haproxy"
}

// documented is the block of docs/proxies.md in that language.
func documented(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "\n```"+language+"\n")
	block, _, ended := strings.Cut(block, "```\n")
	if !found || !ended {
		t.Fatalf("docs/proxies.md has no block of %s", language)
	}
	return block
}

func replaceEach(t *testing.T, text string, replacements map[string]string) string {
	t.Helper()
	for old, replacement := range replacements {
		if strings.Count(text, old) != 1 {
			t.Fatalf("%q isn't there once:\n%s", old, text)
		}
		text = strings.Replace(text, old, replacement, 1)
	}
	return text
}

// writeCertificate makes a key and a certificate for 127.0.0.1, in one file as HAProxy wants it.
func writeCertificate(t *testing.T, file string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots.AppendCertsFromPEM(text)
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// dial connects through the proxy, over TLS, from an address of this host.
func (p *haproxy) dial(source, token string) (*wstest.Raw, error) {
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := tls.DialWithDialer(&from, "tcp", p.addr, &tls.Config{RootCAs: p.roots})
	if err != nil {
		return nil, err
	}
	p.t.Cleanup(func() { conn.Close() })
	c := wstest.NewRaw(p.t, conn)
	return c, c.Upgrade("/", "Authorization: Bearer "+token)
}
