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

// sources are the files of a folder, but for tests.
func sources(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	files := make(map[string]*ast.File)
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") {
			files[name], err = parser.ParseFile(token.NewFileSet(), name, nil, 0)
			must(t, err)
		}
	}
	return files
}

// isSystem is whether a package makes system calls, or knows the poller.
func isSystem(path string) bool {
	return path == "syscall" || strings.HasPrefix(path, "golang.org/x/sys/") || strings.HasPrefix(path, "github.com/panjf2000/")
}

// What is known of gnet, of system calls and of /proc stands in internal/poll.
func TestPollIsTheOnlyDoor(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("internal/*")
	must(t, err)
	inPoll := 0
	for _, dir := range append(dirs, ".") {
		for name, file := range sources(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				lit, _ := n.(*ast.BasicLit)
				if lit == nil || lit.Kind != token.STRING {
					return true
				}
				switch text, _ := strconv.Unquote(lit.Value); {
				case !isSystem(text) && !strings.HasPrefix(text, "/proc"):
				case dir == "internal/poll":
					inPoll++
				default:
					t.Errorf("%s knows %s", name, text)
				}
				return true
			})
		}
	}
	if inPoll < 10 {
		t.Errorf("internal/poll has %d of these: nothing was looked at", inPoll)
	}
}

// What decides has no socket, no poller and no clock: those are given to it.
func TestPureImports(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{"admission", "budget", "delivery", "mailbox"} {
		for name, file := range sources(t, filepath.Join("internal", pkg)) {
			for _, i := range file.Imports {
				switch path, _ := strconv.Unquote(i.Path.Value); {
				case path == "net", path == "os", isSystem(path), strings.HasSuffix(path, "/internal/poll"):
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
