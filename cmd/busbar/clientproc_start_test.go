package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// startNodeClient connects with the ws package from npm. way is "header" or "subprotocol"; an empty token
// means no authentication.
func startNodeClient(t *testing.T, url, token, way string) *clientProcess {
	t.Helper()
	installNodeModules(t)
	return startClient(t, "node", filepath.Join("testdata", "node", "client.mjs"), url, token, way)
}

// startPythonClient connects with Debian's python3-websockets, which only Debian's own interpreter finds.
func startPythonClient(t *testing.T, url, token, way string) *clientProcess {
	t.Helper()
	return startClient(t, "/usr/bin/python3", filepath.Join("testdata", "python", "client.py"), url, token, way)
}

func startClient(t *testing.T, program string, args ...string) *clientProcess {
	t.Helper()
	p := &clientProcess{t: t, name: filepath.Base(program), cmd: exec.Command(program, args...)}
	p.events = make(chan clientEvent, maxClientEvents)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatalf("opening %s's standard input: %v", p.name, err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("opening %s's standard output: %v", p.name, err)
	}
	p.stdin = stdin
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	go p.read(stdout)
	t.Cleanup(p.stop)
	return p
}

// installNodeModules installs what package-lock.json pins, once, unless it is there already.
func installNodeModules(t *testing.T) {
	t.Helper()
	if err := nodeModules(); err != nil {
		t.Fatalf("installing the Node client's packages: %v", err)
	}
}

var nodeModules = sync.OnceValue(func() error {
	dir := filepath.Join("testdata", "node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "ws", "package.json")); err == nil {
		return nil
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in %s: %w\n%s", dir, err, out)
	}
	return nil
})
