package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The lines between which a Markdown file has what was measured.
const (
	BeginMarker = "<!-- begin: written by make bench -->"
	EndMarker   = "<!-- end: written by make bench -->"
)

// ErrMarkers: a file hasn't each of the markers once, in order. It is left as it is.
var ErrMarkers = errors.New("markers")

// between puts a fragment between the markers of a text, in place of what was there.
func between(text, fragment string) (string, error) {
	before, rest, begun := strings.Cut(text, BeginMarker)
	_, after, ended := strings.Cut(rest, EndMarker)
	if !begun || !ended || strings.Count(text, BeginMarker) != 1 || strings.Count(text, EndMarker) != 1 {
		return "", fmt.Errorf("%w: %q and %q must be there once each, in this order", ErrMarkers, BeginMarker, EndMarker)
	}
	return before + BeginMarker + "\n\n" + strings.TrimSpace(fragment) + "\n\n" + EndMarker + after, nil
}

// CheckMarkers is an error when UpdateMarkers would be.
func CheckMarkers(path string) error {
	_, err := replaced(path, "")
	return err
}

func replaced(path, fragment string) (string, error) {
	old, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading what has the markers: %w", err)
	}
	text, err := between(string(old), fragment)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// UpdateMarkers does what between does to a file, which is whole at all times.
func UpdateMarkers(path, fragment string) error {
	text, err := replaced(path, fragment)
	if err != nil {
		return err
	}
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err = os.WriteFile(next, []byte(text), 0o644); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		_ = os.Remove(next)
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
