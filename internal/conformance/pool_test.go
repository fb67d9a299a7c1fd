package conformance

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// pool holds the daemons of a test by their arguments. Its test owns it.
type pool struct {
	t       *testing.T
	mu      sync.Mutex
	daemons map[string]*daemon
}

func (p *pool) get(args []string) *daemon {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := strings.Join(args, " ")
	if p.daemons[name] == nil {
		p.daemons[name] = startDaemon(p.t, args...)
	}
	return p.daemons[name]
}

func daemonHelp(t *testing.T) string {
	t.Helper()
	help, err := exec.Command(filepath.Join(built, "busbar"), "-help").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(help)
}
