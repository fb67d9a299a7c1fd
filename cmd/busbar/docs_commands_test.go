//go:build !race && !racedaemon

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shellBlock is what a page has somebody type, and under it what that prints: each line of prints is found, with
// anything in place of … and of line breaks.
var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?")

// betweenBlocks is printed after each.
const betweenBlocks = "--- end of a block ---"

// The commands of each page work, one after the other in one shell, on a host of its own where the ports are free.
func TestCommandsOfThePages(t *testing.T) {
	t.Parallel()
	for _, name := range pages {
		blocks := shellBlock.FindAllStringSubmatch(docsPage(t, name), -1)
		if len(blocks) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := "set -eo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT\nip link set lo up\n"
			for _, b := range blocks {
				script += b[1] + "echo '" + betweenBlocks + "'\n"
			}
			var out bytes.Buffer
			cmd := exec.Command("unshare", "--net", "bash", "-c", script)
			cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &out, &out
			cmd.Env = []string{"PATH=" + built + ":" + os.Getenv("PATH"), "HOME=" + cmd.Dir}
			cmd.WaitDelay = time.Second
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it has started ends with it
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(soon, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			defer kill.Stop()
			err := cmd.Wait()
			printed := strings.Split(out.String(), betweenBlocks)
			if err != nil {
				failed := min(len(printed)-1, len(blocks)-1)
				t.Fatalf("%v, in\n%sit printed:%s", err, blocks[failed][1], printed[len(printed)-1])
			}
			for i, b := range blocks {
				for line := range strings.Lines(b[2]) {
					if !asPrinted(line).MatchString(oneLine(printed[i])) {
						t.Errorf("%sdoesn't print %q but\n%s", b[1], strings.TrimSpace(line), printed[i])
					}
				}
			}
		})
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func asPrinted(line string) *regexp.Regexp {
	return regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(oneLine(line)), "…", ".*?"))
}

// A page whose commands print something else would fail.
func TestAsPrinted(t *testing.T) {
	for line, want := range map[string]bool{"holds about … connections": true, "holds about …, no": false} {
		if got := asPrinted(line).MatchString(oneLine("It holds\n  about 5\nconnections.")); got != want {
			t.Error(fmt.Sprint(line, " matches: ", got))
		}
	}
}
