package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const begin, end = BeginMarker, EndMarker

func TestMarkersAreReplacedTheSameHoweverOften(t *testing.T) {
	for _, old := range []string{begin + end, begin + "\n" + end, begin + "\nold\n\n" + end} {
		once, err := between("# Title\n\n"+old+"\n\nThe rest.\n", "new\nlines\n")
		if err != nil {
			t.Fatal(err)
		}
		if want := "# Title\n\n" + begin + "\n\nnew\nlines\n\n" + end + "\n\nThe rest.\n"; once != want {
			t.Errorf("of %q:\n%s", old, once)
		}
		if twice, err := between(once, "new\nlines\n"); err != nil || twice != once {
			t.Errorf("the second time: %v\n%s", err, twice)
		}
	}
}

func TestFileWithoutMarkersIsLeftAlone(t *testing.T) {
	for _, text := range []string{"", "nothing", begin, end, end + begin, begin + begin + end, begin + end + end} {
		path := filepath.Join(t.TempDir(), "README.md")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := UpdateMarkers(path, "new")
		if !errors.Is(err, ErrMarkers) || !strings.Contains(err.Error(), path) {
			t.Errorf("of %q: error %v", text, err)
		}
		if err := CheckMarkers(path); !errors.Is(err, ErrMarkers) {
			t.Errorf("of %q, checked: error %v", text, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}

func TestUpdateMarkersLeavesNothingBehind(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "README.md")
	if err := os.WriteFile(path, []byte("a "+begin+"old"+end+" z"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(CheckMarkers(path), UpdateMarkers(path, "new")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "a "+begin+"\n\nnew\n\n"+end+" z" {
		t.Errorf("%q, %v", text, err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("%d files, %v", len(entries), err)
	}
}
