package checks

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stages are the Dockerfile's, as BuildKit reads it, without a remark of its linter.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) { t.Errorf("%s: %s", rule, message) }})
	all, _, err := instructions.Parse(parsed.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The image does what it should, as far as that can be seen without Docker: its build commands run in a copy of the tree,
// what they make is laid out in a folder, and its entry point runs there as its user, with nothing else around it.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("chroot is for root alone")
	}
	all := stages(t)
	build, image := all[0], all[1]
	out := t.TempDir()
	for _, command := range build.Commands {
		if run, ok := command.(*instructions.RunCommand); ok {
			line := strings.ReplaceAll(strings.Join(run.CmdLine, " "), "/out/", out+"/")
			cmd := exec.Command("sh", "-ec", line)
			cmd.Dir, cmd.Env = "../..", append(os.Environ(), "TARGETARCH=", "VERSION=v0.0.0-image")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", line, err, text)
			}
		}
	}
	root := t.TempDir()
	env := []string{"BUSBAR_LISTEN=127.0.0.1:0", "BUSBAR_DRAIN_DELAY=0"}
	var entry, health []string
	for _, command := range image.Commands {
		switch c := command.(type) {
		case *instructions.CopyCommand:
			copyInto(t, out, root, c)
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				env = append(env, strings.ReplaceAll(pair.String(), "BUSBAR_API=:4321", "BUSBAR_API="+freeAddress(t)))
			}
		case *instructions.EntrypointCommand:
			entry = c.CmdLine
		case *instructions.HealthCheckCommand:
			health = c.Health.Test[1:]
		}
	}
	proc := filepath.Join(root, "proc") // as a container has it
	if err := errors.Join(os.Chmod(root, 0o755), os.Mkdir(proc, 0o555), syscall.Mount("proc", proc, "proc", 0, "")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Unmount(proc, 0) }()
	inside := func(line []string) *exec.Cmd {
		cmd := &exec.Cmd{Path: line[0], Args: line, Env: env, Dir: "/"}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, Pdeathsig: syscall.SIGKILL,
		}
		return cmd
	}
	var log bytes.Buffer
	server := inside(entry)
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	healthy := false
	for deadline := time.Now().Add(20 * time.Second); !healthy && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		healthy = inside(health).Run() == nil
	}
	_ = server.Process.Signal(syscall.SIGTERM)
	if err := server.Wait(); err != nil || !healthy || !strings.Contains(log.String(), "v0.0.0-image") {
		t.Errorf("healthy %v, ended with %v\n%s", healthy, err, log.String())
	}
	if inside(health).Run() == nil {
		t.Error("a server that has ended is healthy")
	}
}

func copyInto(t *testing.T, out, root string, c *instructions.CopyCommand) {
	t.Helper()
	from := strings.Replace(c.SourcePaths[0], "/out/", out+"/", 1)
	to := filepath.Join(root, c.DestPath)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"-a", from, to}
	if text, err := exec.Command("cp", args...).CombinedOutput(); err != nil {
		t.Fatalf("COPY %s: %v\n%s", from, err, text)
	}
	if c.Chown != "" {
		if text, err := exec.Command("chown", "-R", c.Chown, to).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v\n%s", err, text)
		}
	}
}

// freeAddress is one that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
