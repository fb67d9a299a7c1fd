package auth_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub/auth"
)

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	table := func(name, create string) string {
		path := filepath.Join(dir, name)
		db, err := sql.Open("sqlite", path)
		must(t, err)
		defer db.Close()
		_, err = db.Exec(create)
		must(t, err)
		return path
	}
	foreign := file("notes.txt", strings.Repeat("not a database, just text\n", 200))
	narrow := table("narrow.db", `CREATE TABLE _pylon_sessions (token TEXT PRIMARY KEY, user_id TEXT)`)
	other := table("other.db", `CREATE TABLE something (x)`)
	whole := table("whole.db", pylonTable+"; INSERT INTO _pylon_sessions VALUES ('t', 'u', 0, 0, '', '')")
	b, err := os.ReadFile(whole)
	must(t, err)
	damaged := file("damaged.db", string(b[:4096])+strings.Repeat("\xff", len(b)-4096)+string(b[:100]))
	for _, c := range []struct {
		name, path string
		readOnly   bool
		is         error
		says       string
	}{
		{"directory missing", filepath.Join(dir, "no", "s.db"), false, fs.ErrNotExist, filepath.Join(dir, "no")},
		{"directory missing, read-only", filepath.Join(dir, "no", "s.db"), true, fs.ErrNotExist, filepath.Join(dir, "no")},
		{"directory is a file", filepath.Join(foreign, "s.db"), false, fs.ErrNotExist, "not a directory"},
		{"file missing, read-only", filepath.Join(dir, "none.db"), true, fs.ErrNotExist, "none.db"},
		{"is a directory", dir, true, auth.ErrNotDatabase, "not a regular file"},
		{"foreign file", foreign, false, auth.ErrNotDatabase, foreign},
		{"foreign file, read-only", foreign, true, auth.ErrNotDatabase, foreign},
		{"empty file, read-only", file("empty.db", ""), true, auth.ErrSchema, "empty.db"},
		{"no table, read-only", other, true, auth.ErrSchema, "doesn't exist"},
		{"columns missing, read-only", narrow, true, auth.ErrSchema, "lacks expires_at, tenant_id"},
		{"columns missing", narrow, false, auth.ErrSchema, "created_at, device"},
		{"damaged, read-only", damaged, true, nil, "damaged.db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := auth.OpenSessions(c.path, fast(auth.SessionOptions{ReadOnly: c.readOnly}))
			if err == nil && c.name == "damaged, read-only" {
				// SQLite may notice only when it reads the page.
				defer s.Close()
				err = unanswered(t, s, "t")
			}
			oneLine(t, err, c.says)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("a file was created for a read-only store")
	}
	if now, err := os.ReadFile(foreign); err != nil || !strings.HasPrefix(string(now), "not a database") {
		t.Error("a foreign file was overwritten")
	}
}

func TestNoPermission(t *testing.T) {
	t.Parallel()
	p := newPylon(t, "WAL")
	p.add("tok", "u1", 0, nil)
	dir := filepath.Dir(p.path)
	must(t, os.Chmod(p.path, 0o600))
	out, err := runNobody(t, "read", p.path, "tok")
	if os.Geteuid() == 0 && (err == nil || !strings.Contains(out, "permission denied") || !strings.Contains(out, p.path)) {
		t.Errorf("unreadable file: %q, %v", out, err)
	}
	// Readable, while nothing in the directory may be written: read-only is enough.
	for _, f := range []string{p.path, p.path + "-wal", p.path + "-shm"} {
		must(t, os.Chmod(f, 0o444))
	}
	must(t, os.Chmod(dir, 0o555))
	defer os.Chmod(dir, 0o755)
	if out, err := runNobody(t, "read", p.path, "tok"); err != nil || out != "u1" {
		t.Errorf("readable file of a running Pylon: %q, %v", out, err)
	}
	if out, err := runNobody(t, "open", p.path); err == nil || !strings.Contains(out, "permission denied") || strings.Contains(out, "\n") {
		t.Errorf("file that can't be written: %q, %v", out, err)
	}
	if out, err := runNobody(t, "open", filepath.Join(dir, "new.db")); err == nil || !strings.Contains(out, "permission denied") {
		t.Errorf("directory that can't be written: %q, %v", out, err)
	}
	must(t, p.db.Close())
	if out, err := runNobody(t, "read", p.path, "tok"); err != nil || out != "u1" {
		t.Errorf("readable file of a stopped Pylon: %q, %v", out, err)
	}
}

func TestLockedExclusively(t *testing.T) {
	t.Parallel()
	p := newPylon(t, "DELETE")
	p.add("tok", "u1", 0, nil)
	p.add("next", "u2", 0, nil)
	s := open(t, p.path, auth.SessionOptions{ReadOnly: true})
	id := authenticate(t, s, "tok")
	p.exec("BEGIN EXCLUSIVE")
	for _, readOnly := range []bool{true, false} {
		_, err := auth.OpenSessions(p.path, fast(auth.SessionOptions{ReadOnly: readOnly}))
		oneLine(t, err, p.path)
		if !errors.Is(err, auth.ErrLocked) {
			t.Errorf("read-only %v: %v is not ErrLocked", readOnly, err)
		}
	}
	if err := unanswered(t, s, "next"); !errors.Is(err, auth.ErrLocked) {
		t.Errorf("a lookup says %v", err)
	}
	if again := authenticate(t, s, "tok"); again != id {
		t.Error("a cached session has changed")
	}
	p.exec("COMMIT")
	eventually(t, "lookups work again", func() bool { _, err := s.Authenticate(t.Context(), "next"); return err == nil })
}

func TestFileGoneAndBack(t *testing.T) {
	t.Parallel()
	p := newPylon(t, "DELETE")
	p.add("tok", "u1", 0, nil)
	p.add("next", "u2", 0, nil)
	must(t, p.db.Close())
	var gone revoked
	s := open(t, p.path, auth.SessionOptions{ReadOnly: true, OnRevoked: gone.add})
	id := authenticate(t, s, "tok")
	must(t, os.Rename(p.path, p.path+".away"))
	eventually(t, "lookups say that the file is gone", func() bool {
		_, err := s.Authenticate(t.Context(), "unheard")
		return errors.Is(err, fs.ErrNotExist)
	})
	unanswered(t, s, "next")
	if again := authenticate(t, s, "tok"); again != id || gone.count() != 0 {
		t.Error("a cached session ended because the file is gone")
	}
	must(t, os.WriteFile(p.path, []byte(strings.Repeat("half a copy", 1000)), 0o600))
	eventually(t, "a foreign file is seen", func() bool {
		_, err := s.Authenticate(t.Context(), "unheard")
		return errors.Is(err, auth.ErrNotDatabase)
	})
	must(t, os.Rename(p.path+".away", p.path))
	eventually(t, "lookups work again", func() bool { _, err := s.Authenticate(t.Context(), "next"); return err == nil })
	if again := authenticate(t, s, "tok"); again != id || gone.count() != 0 {
		t.Error("a session that is still there was revoked")
	}
}

// docs/protocol.md section 4: a file that took the place of the old one counts, sessions it lacks included.
func TestFileReplaced(t *testing.T) {
	t.Parallel()
	for _, readOnly := range []bool{true, false} {
		old, fresh := newPylon(t, "DELETE"), newPylon(t, "DELETE")
		old.add("kept", "u1", 0, nil)
		old.add("lost", "u2", 0, nil)
		fresh.add("kept", "u1", 0, nil)
		fresh.add("new", "u3", 0, nil)
		must(t, old.db.Close())
		must(t, fresh.db.Close())
		var gone revoked
		s := open(t, old.path, auth.SessionOptions{ReadOnly: readOnly, OnRevoked: gone.add})
		kept, lost := authenticate(t, s, "kept"), authenticate(t, s, "lost")
		must(t, os.Rename(fresh.path, old.path))
		eventually(t, "the session that the new file lacks is revoked", func() bool { return gone.has(lost) })
		if again := authenticate(t, s, "kept"); again != kept || gone.has(kept) {
			t.Error("a session that both files have was revoked")
		}
		eventually(t, "the new file's session is found", func() bool { _, err := s.Authenticate(t.Context(), "new"); return err == nil })
	}
}

// What a Pylon that was just started wrote first can be read without the right to write.
func TestFirstWriteOfARunningPylon(t *testing.T) {
	t.Parallel()
	p := newPylon(t, "WAL")
	must(t, p.db.Close())
	p.open()
	p.add("tok", "u1", 0, nil)
	if out, err := runNobody(t, "read", p.path, "tok"); err != nil || out != "u1" {
		t.Errorf("%q, %v", out, err)
	}
}

// Files of a program that died: what is in a -wal is read, and what reading can't repair without writing
// is an error.
func TestFilesOfADeadWriter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ journal, suffix, says string }{
		{"DELETE", "-journal", "last writer died"},
		{"WAL", "-wal", ""},
	} {
		p := newPylon(t, c.journal)
		p.add("committed", "u", 0, nil)
		p.exec("PRAGMA cache_size = 1")
		p.exec("BEGIN")
		for i := range 300 {
			p.add(fmt.Sprint("tok", i), strings.Repeat("u", 200), 0, nil)
		}
		all := files(t, filepath.Dir(p.path))
		copied := filepath.Join(t.TempDir(), "copy.db")
		must(t, os.WriteFile(copied, []byte(all["pylon.db"]), 0o600))
		must(t, os.WriteFile(copied+c.suffix, []byte(all["pylon.db"+c.suffix]), 0o600))
		s, err := auth.OpenSessions(copied, fast(auth.SessionOptions{ReadOnly: true}))
		if c.says != "" {
			oneLine(t, err, c.says)
			if !errors.Is(err, auth.ErrDamaged) {
				t.Errorf("%s: %v is not ErrDamaged", c.journal, err)
			}
			s, err = auth.OpenSessions(copied, fast(auth.SessionOptions{})) // with the right to write it is repaired
		}
		must(t, err)
		unauthorized(t, s, "tok0")
		authenticate(t, s, "committed")
		must(t, s.Close())
	}
}
