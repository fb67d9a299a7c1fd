package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// docs/architecture.md names files and functions of the two ways of a message: they exist.
func TestArchitectureNamesWhatExists(t *testing.T) {
	t.Parallel()
	const root = "../.."
	doc, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	hops := regexp.MustCompile("(?m)^\\| `([a-z/_]+\\.go)` \\| `([A-Za-z.]+)` \\|").FindAllStringSubmatch(string(doc), -1)
	if len(hops) < 20 {
		t.Fatalf("%d hops are found", len(hops))
	}
	for _, hop := range hops {
		if !functions(t, filepath.Join(root, hop[1]))[hop[2]] {
			t.Errorf("%s has no function %s", hop[1], hop[2])
		}
	}
}

// functions are a file's, methods as Type.Method.
func functions(t *testing.T, file string) map[string]bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && name == f.Name.Name {
					name = id.Name + "." + name
				}
				return true
			})
		}
		found[name] = true
	}
	return found
}
