//go:build !race && !racedaemon

package main

import (
	"net/http"
	"strings"
	"testing"
)

// docs/protocol.md section 5: a body over the bound is answered with 413, also to a publisher that keeps no connection. Reset
// connections show in one of a hundred.
func TestTooLargeBodiesAreAnswered(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "-max-message-in", "1000", "-max-message-out", "100000")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: soon}
	for range 300 {
		r, err := http.NewRequest("PUT", "http://"+d.api+"/v1/rows/Doc/1", strings.NewReader(strings.Repeat("x", 110_000)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+d.admin)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("status %d", answer.StatusCode)
		}
	}
}
