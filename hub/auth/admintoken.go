package auth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrAdminToken is wrapped by AdminToken's errors about a token itself.
var ErrAdminToken = errors.New("bad admin token")

const (
	adminTokenName = "admin-token"
	minAdminToken  = 16
	maxTokenLine   = 4096
)

// AdminToken is ReadAdminToken, but makes the file admin-token of dataDir when that is absent.
func AdminToken(dataDir, tokenFile, env string) (token, warning string, err error) {
	token, warning, err = ReadAdminToken(dataDir, tokenFile, env)
	if tokenFile != "" || !errors.Is(err, fs.ErrNotExist) {
		return token, warning, err
	}
	path := filepath.Join(dataDir, adminTokenName)
	if err := writeAdminToken(dataDir, path); err != nil {
		return "", "", fmt.Errorf("make admin token file %s: %w", path, err)
	}
	// Read back: of two processes that start together both use the token that won.
	return readAdminToken(path)
}

// ReadAdminToken returns the admin token: the line in tokenFile when that is named, else
// env when that isn't empty, else the line in the file admin-token of dataDir (docs/protocol.md section 7).
// A file that is absent is fs.ErrNotExist. warning isn't empty when others than the owner may read
// the file, or when a token is so short that it could be guessed. An error names the
// file and never the token.
func ReadAdminToken(dataDir, tokenFile, env string) (token, warning string, err error) {
	switch {
	case tokenFile != "":
		return readAdminToken(tokenFile)
	case env != "":
		if token, err = CheckToken(env); err != nil {
			return "", "", fmt.Errorf("admin token from the environment: %w: %w", ErrAdminToken, err)
		}
		return token, weakness("the admin token from the environment", token), nil
	}
	return readAdminToken(filepath.Join(dataDir, adminTokenName))
}

func readAdminToken(path string) (token, warning string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", "", fmt.Errorf("admin token file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", "", fmt.Errorf("admin token file: %w", err)
	}
	if token, err = ReadToken(f); err != nil {
		return "", "", fmt.Errorf("admin token file %s: %w: %w", path, ErrAdminToken, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return token, fmt.Sprintf("admin token file %s has mode %04o: others than its owner can use it; chmod 600 it", path, mode), nil
	}
	return token, weakness("the admin token in "+path, token), nil
}

// ReadToken reads a token, which is all there is but for what CheckToken trims.
func ReadToken(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxTokenLine+2))
	if err != nil {
		return "", err
	}
	return CheckToken(string(b))
}

// CheckToken trims a line with a token, of a byte order mark too, and refuses what no HTTP header could carry. The error
// doesn't say what the token is.
func CheckToken(line string) (string, error) {
	line = strings.TrimSpace(strings.TrimPrefix(line, byteOrderMark))
	switch {
	case line == "":
		return "", errors.New("it is empty")
	case len(line) > maxTokenLine:
		return "", fmt.Errorf("it is over %d bytes", maxTokenLine)
	case strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("it has to be one line of visible ASCII")
	}
	return line, nil
}

func weakness(what, token string) string {
	if len(token) >= minAdminToken {
		return ""
	}
	return fmt.Sprintf("%s has %d characters and could be guessed; use %d or more", what, len(token), minAdminToken)
}

// writeAdminToken makes the file in one step: a link to a finished file appears under
// the name, and fails if another process's has appeared before.
func writeAdminToken(dir, path string) error {
	f, err := os.CreateTemp(dir, "."+adminTokenName+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(newToken() + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
