package auth

import (
	"os"
	"path/filepath"
	"testing"
)

// The owner closed the file during a look, so that its -wal stayed, and put another in its place: what is in
// the -wal must not get into that one, whoever opens it next. A -wal that came with it is its own.
func TestOldWALIsNotWrittenIntoAnotherFile(t *testing.T) {
	for name, own := range map[string]bool{"the old -wal": false, "one of its own": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			write := func(name, text string) {
				t.Helper()
				if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(name+".new", name); err != nil {
					t.Fatal(err)
				}
			}
			for _, ending := range []string{"", "-wal", "-shm"} {
				write(path+ending, "old")
			}
			o := foreign{}
			o.main, _ = os.Stat(path)
			o.wal, _ = os.Stat(path + "-wal")
			write(path, "backup")
			if own {
				write(path+"-wal", "backup")
			}
			o.settle(t.Context(), path)
			if text, err := os.ReadFile(path); err != nil || string(text) != "backup" {
				t.Errorf("the backup is %q, %v", text, err)
			}
			if _, err := os.Stat(path + "-wal"); os.IsNotExist(err) == own {
				t.Errorf("the -wal: %v", err)
			}
		})
	}
}
