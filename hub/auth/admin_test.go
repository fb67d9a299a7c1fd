package auth_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/hub/auth"
)

// docs/protocol.md section 7: admin-token is one line, mode 0600, made when absent.
func TestAdminTokenIsMade(t *testing.T) {
	dir := t.TempDir()
	if token, _, err := auth.ReadAdminToken(dir, "", ""); token != "" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%q, %v", token, err)
	}
	tokens := make([]string, 8)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() {
			token, warning, err := auth.AdminToken(dir, "", "")
			if err != nil || warning != "" {
				t.Errorf("%q, %v", warning, err)
			}
			tokens[i] = token
		})
	}
	wg.Wait()
	path := filepath.Join(dir, "admin-token")
	b, err := os.ReadFile(path)
	must(t, err)
	for _, token := range tokens {
		if len(token) != 43 || string(b) != token+"\n" {
			t.Errorf("token %q, file %q", token, b)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("left in the directory: %v, %v", all, err)
	}
}

// docs/protocol.md section 7: the flag's file first, then the environment, then the data directory.
func TestAdminTokenSources(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), mode))
		must(t, os.Chmod(path, mode))
		return path
	}
	named := file("named", " token-from-a-file \r\n", 0o600)
	for _, c := range []struct{ name, file, env, want, warns string }{
		{"file wins", named, "token-from-environment", "token-from-a-file", ""},
		{"a byte order mark", file("marked", "\ufefftoken-from-a-file\r\n", 0o600), "", "token-from-a-file", ""},
		{"two line ends", file("two", "token-from-a-file\n\n", 0o600), "", "token-from-a-file", ""},
		{"environment wins", "", "token-from-environment", "token-from-environment", ""},
		{"readable by others", file("wide", "token-from-a-file", 0o644), "", "token-from-a-file", "0644"},
		{"short", file("short", "secret", 0o600), "", "secret", "guessed"},
		{"short in environment", "", "secret", "secret", "guessed"},
	} {
		token, warning, err := auth.AdminToken(dir, c.file, c.env)
		if err != nil || token != c.want || !strings.Contains(warning, c.warns) || (c.warns == "") != (warning == "") {
			t.Errorf("%s: %q, %q, %v", c.name, token, warning, err)
		}
		if strings.Contains(warning, c.want) {
			t.Errorf("%s: the warning shows the token", c.name)
		}
	}
	for _, c := range []struct {
		name, file, env string
		is              error
	}{
		{"empty file", file("empty", "\n", 0o600), "", auth.ErrAdminToken},
		{"two lines", file("two", "one-secret\ntwo-secret\n", 0o600), "", auth.ErrAdminToken},
		{"huge", file("huge", strings.Repeat("secret", 1000), 0o600), "", auth.ErrAdminToken},
		{"missing", filepath.Join(dir, "missing"), "token-from-environment", fs.ErrNotExist},
		{"blank environment", "", "  ", auth.ErrAdminToken},
	} {
		token, _, err := auth.AdminToken(dir, c.file, c.env)
		oneLine(t, err, c.file)
		if token != "" || !errors.Is(err, c.is) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q, %v", c.name, token, err)
		}
	}
	_, _, err := auth.AdminToken(filepath.Join(dir, "nowhere"), "", "")
	oneLine(t, err, "nowhere")
	file("admin-token", "", 0o600)
	if _, _, err := auth.AdminToken(dir, "", ""); !errors.Is(err, auth.ErrAdminToken) {
		t.Errorf("an empty admin-token file: %v", err)
	}
}

// docs/protocol.md section 1: the admin token is accepted beside sessions and needs no user id.
func TestWithAdmin(t *testing.T) {
	s, _ := own(t, auth.SessionOptions{})
	token, _, err := s.Create(t.Context(), "u1", "", 0, "")
	must(t, err)
	a := auth.WithAdmin(s, "the-admin-token")
	id, ok := a.Cached("the-admin-token")
	if !ok || !id.Admin || id.UserID != "" || id.From() != "admin" {
		t.Errorf("admin: %+v, %v", id, ok)
	}
	if again := authenticate(t, a, "the-admin-token"); again != id {
		t.Error("another pointer for the same token")
	}
	if id := authenticate(t, a, token); id.Admin || id.UserID != "u1" {
		t.Errorf("user: %+v", id)
	}
	if id, ok := a.Cached(token); !ok || id.Admin {
		t.Errorf("cached user: %+v, %v", id, ok)
	}
	for _, bad := range []string{"", "the-admin-toke", "the-admin-token ", "THE-ADMIN-TOKEN"} {
		unauthorized(t, a, bad)
		unauthorized(t, auth.WithAdmin(s, ""), bad)
	}
}

func TestNone(t *testing.T) {
	var a auth.None
	id, ok := a.Cached("")
	if !ok || id.UserID != "anonymous" || id.Admin || authenticate(t, a, "whatever") != id {
		t.Errorf("%+v, %v", id, ok)
	}
}
