package eventloop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What decides has no socket, no poller and no clock: those are given to it.
func TestPureImports(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{"admission", "budget", "delivery", "mailbox"} {
		files, err := filepath.Glob(filepath.Join("internal", pkg, "*.go"))
		must(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			must(t, err)
			for _, i := range file.Imports {
				switch path, _ := strconv.Unquote(i.Path.Value); {
				case path == "net", path == "os", path == "syscall",
					strings.HasPrefix(path, "golang.org/x/sys/"), strings.HasPrefix(path, "github.com/panjf2000/"),
					strings.HasSuffix(path, "/internal/poll"):
					t.Errorf("%s imports %s", name, path)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				used, _ := n.(*ast.SelectorExpr)
				if used == nil {
					return true
				}
				if pkg, _ := used.X.(*ast.Ident); pkg != nil && pkg.Name == "time" && readsClock[used.Sel.Name] {
					t.Errorf("%s uses time.%s", name, used.Sel.Name)
				}
				return true
			})
		}
	}
}

// readsClock is what package time has that goes by the clock. Durations and times are values like others.
var readsClock = map[string]bool{"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true,
	"AfterFunc": true, "NewTimer": true, "NewTicker": true, "Tick": true}
