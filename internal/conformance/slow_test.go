package conformance

import (
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// A request that comes a byte every second is cut off at -handshake-timeout, however long it
// would go on: RFC 9110 15.5.9. One that never begins isn't answered.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	d := startDaemon(t, "-handshake-timeout", timeout.String())
	for name, send := range map[string]string{"a byte every second": upgradeRequest(), "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := connect(t, d.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			began := time.Now()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				answer, err := http.ReadResponse(c.R, nil)
				switch {
				case send == "" && err == nil:
					t.Errorf("a client that sent nothing was answered with %s", answer.Status)
				case send != "" && err != nil:
					t.Errorf("no answer: %v", err)
				case send != "" && (answer.StatusCode != http.StatusRequestTimeout || !answer.Close):
					t.Errorf("answered with %s, want 408", answer.Status)
				case send != "":
					_, _ = io.Copy(io.Discard, answer.Body)
				}
			}()
			second := time.NewTicker(time.Second)
			defer second.Stop()
			for sent := 0; ; sent++ {
				if sent < len(send) {
					_ = c.write([]string{send[sent : sent+1]})
				}
				select {
				case <-second.C:
					continue
				case <-ended:
				}
				break
			}
			// A round of the loop's wheel is a second.
			if took := time.Since(began); took < timeout || took > timeout+wstest.Patience/3 {
				t.Errorf("it ended after %v, want %v", took, timeout)
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
