package conformance

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// docs/conformance.md says how many cases each family has.
func TestDocsCountTheCases(t *testing.T) {
	docs := readFile(t, filepath.Join("..", "..", "docs", "conformance.md"))
	total := 0
	counted := func(name string, n int) {
		total += n
		if row := fmt.Sprintf("| %s | %d |", name, n); !strings.Contains(docs, row) {
			t.Errorf("docs/conformance.md has no row %q", row)
		}
	}
	for _, f := range families() {
		counted(f.name, len(f.cases))
	}
	counted("handshake, granted", len(grantedRequests()))
	counted("handshake, refused", len(refusedRequests()))
	if sum := fmt.Sprintf("%d cases", total); !strings.Contains(docs, sum) {
		t.Errorf("docs/conformance.md doesn't speak of %s", sum)
	}
}

// Every case says what it proves, and no two are one.
func TestCasesAreNamed(t *testing.T) {
	for _, f := range families() {
		seen := make(map[string]bool)
		for _, c := range f.cases {
			if c.name == "" || c.rfc == "" || seen[c.name] {
				t.Errorf("%s: %q, section %q: without name or section, or twice", f.name, c.name, c.rfc)
			}
			seen[c.name] = true
			if c.code != 0 && (c.code < 1000 || c.code > 4999) {
				t.Errorf("%s: %q wants code %d", f.name, c.name, c.code)
			}
		}
	}
}
