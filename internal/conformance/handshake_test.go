package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A request is one case of the opening handshake: bytes, and the answer to them.
type request struct {
	name   string
	rfc    string
	send   string
	status int               // of the answer; 101: echo works afterwards
	header map[string]string // that the answer has besides what its status always has
	reason string            // in the body

	bodiless bool // the method is HEAD: no byte follows the answer's header
}

// dates are what differs in an answer from one second to the next.
var dates = regexp.MustCompile("Date: .*\r\n")

// TestHandshakes sends every request in every split, to all of which the answer is the same.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	for _, r := range append(grantedRequests(), refusedRequests()...) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			answers := make(map[string]string)
			for _, s := range splits(r.name, false) {
				if s.early {
					continue
				}
				answer, err := r.run(t, d, s.cut(r.send))
				if err != nil {
					t.Errorf("section %s, %s: %v", r.rfc, s.name, err)
				}
				answers[answer] = s.name
			}
			if len(answers) != 1 && !t.Failed() {
				t.Errorf("%d answers, depending on the split: %q", len(answers), answers)
			}
		})
	}
}

// run sends the request and returns the answer, all of it as it came.
func (r *request) run(t *testing.T, d *daemon, pieces []string) (string, error) {
	peer, err := connect(t, d.addr)
	if err != nil {
		return "", err
	}
	defer peer.close()
	written := make(chan error, 1)
	go func() { written <- peer.write(pieces) }()
	var answer strings.Builder
	if r.status == http.StatusSwitchingProtocols {
		err = peer.readUpgrade("")
	} else {
		err = r.refused(bufio.NewReader(io.TeeReader(peer.R, &answer)))
	}
	if err != nil {
		peer.Close()
		<-written
		return "", err
	}
	if err := <-written; err != nil {
		return "", err
	}
	if r.status == http.StatusSwitchingProtocols {
		err = peer.leave(false)
	}
	return dates.ReplaceAllString(answer.String(), ""), err
}

// refused reads the whole answer of a request that isn't upgraded.
func (r *request) refused(br *bufio.Reader) error {
	asked := &http.Request{Method: http.MethodGet}
	if r.bodiless {
		asked.Method = http.MethodHead
	}
	answer, err := http.ReadResponse(br, asked)
	if err != nil {
		return fmt.Errorf("waiting for %d: %w", r.status, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != r.status || !strings.Contains(string(body), r.reason) || (r.reason == "") != r.bodiless {
		return fmt.Errorf("answered with %s %q, want %d %q", answer.Status, body, r.status, r.reason)
	}
	// RFC 9112 9.6: who closes says so. RFC 9110 15.5.22: 426 has Upgrade.
	if !answer.Close || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
		return fmt.Errorf("header of the answer: %v", answer.Header)
	}
	for name, value := range r.header {
		if got := answer.Header.Get(name); got != value {
			return fmt.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	// RFC 9110 6.6.1.
	if date, err := http.ParseTime(answer.Header.Get("Date")); err != nil || time.Since(date).Abs() > time.Minute {
		return fmt.Errorf("Date is %q: %v", answer.Header.Get("Date"), err)
	}
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("behind the answer: %v, want the end", err)
	}
	return nil
}
