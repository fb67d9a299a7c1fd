package eventloop

import (
	"os/exec"
	"strings"
	"testing"
)

// What decides has no socket, no poller and no clock: those are given to it.
func TestPureImports(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{"budget", "mailbox"} {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "./internal/"+pkg).Output()
		must(t, err)
		for path := range strings.FieldsSeq(string(out)) {
			switch first, _, _ := strings.Cut(path, "/"); {
			case path == "time", path == "net", path == "os", path == "syscall",
				strings.HasPrefix(path, "golang.org/x/sys/"), strings.HasPrefix(path, "github.com/panjf2000/"),
				strings.HasSuffix(path, "/internal/poll") && first == "github.com":
				t.Errorf("internal/%s imports %s", pkg, path)
			}
		}
	}
}
