package conformance

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// 5.5.1, 7.1.1: the server closes all of its clients just as they close. Each gets one Close,
// of either's code, and the end, soon; one that is in the middle of a frame gets it too.
func TestBothSidesCloseAtOnce(t *testing.T) {
	t.Parallel()
	const clients = 24
	d := startDaemon(t, "-drain", (2 * wstest.Patience).String())
	var all []*client
	for i := range clients {
		c, err := connect(t, d.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := c.upgrade(upgradeRequest(), ""); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 { // half a frame: its other half follows the Close
			if err := c.write([]string{text("unfinished")[:8]}); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, c)
	}
	began := time.Now()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		rest := ""
		if i%3 == 0 {
			rest = text("unfinished")[8:]
		}
		if err := c.write([]string{rest + closing(1000, "")}); err != nil {
			t.Error(err)
		}
	}
	for i, c := range all {
		if err := c.leftByBoth(i%3 == 0); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
		c.Close()
	}
	<-d.exited
	if took := time.Since(began); took > wstest.Patience { // half of -drain
		t.Errorf("it took %v", took)
	}
}

// leftByBoth reads a Close of 1000 or 1012 and the end. A message may have come back before.
func (c *client) leftByBoth(message bool) error {
	f, err := readFrame(c.R, false)
	if err == nil && message && f == gotText("unfinished") {
		f, err = readFrame(c.R, false)
	}
	if err != nil {
		return err
	}
	if f.op != opClose || f.code() != 1000 && f.code() != 1012 {
		return fmt.Errorf("got %v", f)
	}
	if f, err := readFrame(c.R, false); err == nil {
		return fmt.Errorf("%v follows the Close", f)
	}
	return nil
}
