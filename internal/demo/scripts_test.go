package demo

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestScripts runs testdata/pure.test.js under Node.js, beside the modules that are embedded.
func TestScripts(t *testing.T) {
	dir := t.TempDir()
	modules, err := fs.Sub(assets, "assets")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, modules); err != nil {
		t.Fatalf("copying the modules: %v", err)
	}
	for name, from := range map[string]string{"pure.test.js": "testdata", "package.json": "assets"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "--test", "pure.test.js")
	node.Dir = dir
	if out, err := node.CombinedOutput(); err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
}
