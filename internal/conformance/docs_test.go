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
