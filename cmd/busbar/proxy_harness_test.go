//go:build !race && !racedaemon

package main

import (
	"context"
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

// proxy is a proxy that we didn't write in front of a daemon, with a configuration of docs/proxies.md.
type proxy struct {
	*daemon
	addr  string
	roots *x509.CertPool
}

// startProxy runs the configuration under that heading for HAProxy or nginx, with this host's addresses in
// it, and with further replacements.
func (d *daemon) startProxy(program, heading string, replacements map[string]string) *proxy {
	d.t.Helper()
	p := &proxy{daemon: d, addr: wstest.FreeAddress(d.t), roots: x509.NewCertPool()}
	dir := d.t.TempDir()
	certificate, file := filepath.Join(dir, "app.pem"), filepath.Join(dir, program+".conf")
	writeCertificate(d.t, certificate, p.roots)
	config := documented(d.t, heading, program)
	own := map[string]string{"127.0.0.1:4322": d.ws}
	var args []string
	switch program {
	case "haproxy":
		own["maxconn 100000"], own["bind :443 "] = "maxconn 100", "bind "+p.addr+" "
		own["/etc/haproxy/certs/app.example.com.pem"] = certificate
		args = []string{"-db", "-f", file}
	case "nginx":
		own["worker_connections 100000"], own["listen 443 "] = "worker_connections 100", "listen "+p.addr+" "
		own["/etc/nginx/certs/app.example.com.crt"], own["/etc/nginx/certs/app.example.com.key"] = certificate, certificate
		// Its own folders are root's.
		args = []string{"-e", "stderr", "-c", file, "-g", "daemon off; master_process off; pid " + dir + "/pid;"}
		config = strings.Replace(config, "\nhttp {\n", "\nhttp {\n    access_log off;\n"+
			"    client_body_temp_path "+dir+"; proxy_temp_path "+dir+"; fastcgi_temp_path "+dir+"; uwsgi_temp_path "+dir+"; scgi_temp_path "+dir+";\n", 1)
	}
	if strings.Contains(config, "127.0.0.1:4321") {
		own["127.0.0.1:4321"] = d.api
	}
	config = replaceEach(d.t, replaceEach(d.t, config, own), replacements)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.runProxy(p, exec.Command(inSbin(program), args...), config)
	return p
}

// runProxy starts the proxy and waits until it listens.
func (d *daemon) runProxy(p *proxy, cmd *exec.Cmd, config string) {
	d.t.Helper()
	log := newOutput()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		d.t.Fatalf("starting a proxy (scripts/install-test-tools installs it): %v", err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if d.t.Failed() {
			d.t.Logf("%s:\n%s%s", cmd.Path, config, log)
		}
	})
	eventually(d.t, "the proxy listens", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// inSbin finds a program that is in sbin, which isn't on everybody's path.
func inSbin(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	return "/usr/sbin/" + program
}

// documented is the block of docs/proxies.md under that heading in that language.
func documented(t *testing.T, heading, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, found := strings.Cut(section, "\n```"+language+"\n")
	block, _, ended := strings.Cut(block, "```\n")
	if !found || !ended {
		t.Fatalf("docs/proxies.md has no block of %s under %q", language, heading)
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

// connect opens a connection through the proxy, over TLS, from an address of this host.
func (p *proxy) connect(ctx context.Context, source string) (net.Conn, error) {
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	dialer := tls.Dialer{NetDialer: &from, Config: &tls.Config{RootCAs: p.roots}}
	return dialer.DialContext(ctx, "tcp", p.addr)
}

// dial is a WebSocket through the proxy at a path.
func (p *proxy) dial(source, path, token string, lines ...string) (*wstest.Raw, error) {
	conn, err := p.connect(p.t.Context(), source)
	if err != nil {
		return nil, err
	}
	p.t.Cleanup(func() { conn.Close() })
	c := wstest.NewRaw(p.t, conn)
	return c, c.Upgrade(path, append(lines, "Authorization: Bearer "+token)...)
}
