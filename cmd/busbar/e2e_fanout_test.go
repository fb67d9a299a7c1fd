package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

const fanOutEvents = 300

// follower reads change events until it has seen the last one, or for a while.
type follower struct {
	*wstest.Raw
	first, last uint64 // what it has to see, from and to; first 0: wherever it starts
	leave       uint64 // it leaves after this one; 0: it stays
	err         error
}

// follow checks that each event comes once and in order, with none left out.
func (f *follower) follow() {
	defer f.Close()
	want := f.first
	for want <= f.last {
		text, err := f.Text()
		if err != nil {
			f.err = fmt.Errorf("waiting for seq %d: %w", want, err)
			return
		}
		seq, ok := seqOf(text)
		if !ok {
			continue // somebody has left
		}
		if want == 0 {
			want = seq
		}
		if seq != want {
			f.err = fmt.Errorf("got seq %d, want %d", seq, want)
			return
		}
		if seq == f.leave {
			return
		}
		want++
	}
}

func seqOf(text string) (seq uint64, ok bool) {
	rest, ok := strings.CutPrefix(text, `{"seq":`)
	if !ok {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, ",")
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, err == nil
}

// docs/protocol.md section 3: every client gets every event, once and in order, while others come and go.
func TestFanOutWhileClientsComeAndGo(t *testing.T) {
	d := startDaemon(t, "-max-per-ip", "0")
	token := d.session("alice")
	begin := d.publish("t_1")
	first, last := begin+1, begin+fanOutEvents
	var done sync.WaitGroup
	var all []*follower
	join := func(n int, query string, f follower) {
		for range n {
			g := f
			// Several addresses, as many clients have.
			g.Raw = d.rawClient(fmt.Sprintf("127.0.1.%d", 1+len(all)%20), token, query)
			all = append(all, &g)
			done.Go(g.follow)
		}
	}
	n := 2000 // 1 in 10 leaves, and as many come
	if wstest.RaceEnabled {
		n = 300
	}
	join(n-n/10, "", follower{first: first, last: last})
	for i := range n / 10 { // each of these leaves at a moment of its own
		join(1, "", follower{first: first, last: last, leave: first + uint64(i%(fanOutEvents-1))})
	}
	const rounds = 20
	for range rounds {
		join(n/10/rounds/2, "", follower{last: last})
		join(n/10/rounds-n/10/rounds/2, fmt.Sprintf("?since=%d", begin), follower{first: first, last: last})
		d.publishMany(fanOutEvents / rounds * 2 / 3)
		for range fanOutEvents / rounds / 3 {
			d.publish("t_1")
		}
	}
	done.Wait()
	for i, f := range all {
		if f.err != nil {
			t.Errorf("client %d (from %d, leaving after %d): %v", i, f.first, f.leave, f.err)
		}
	}
	if len(all) != n+n/10/rounds*rounds {
		t.Errorf("%d clients took part", len(all))
	}
}

// docs/protocol.md, -slow catch-up: clients that stop reading, with a cursor or without one, get every event once and in
// order when they read on, however much more than may wait for them.
func TestSlowClientsCatchUp(t *testing.T) {
	d := startDaemon(t, "-slow", "catch-up", "-lag-bytes", "64KiB", "-send-buffer", "64KiB", "-lag-time", "1h", "-ping-interval", "1h")
	token := d.session("alice")
	begin := d.publish("t_1")
	var all []*follower
	for _, query := range []string{"", fmt.Sprintf("?since=%d", begin)} {
		all = append(all, &follower{Raw: d.rawClient("", token, query), first: begin + 1})
	}
	last := begin
	more := func(n int) { last = d.publishMany(n) + uint64(n) - 1 }
	eventually(t, "both are behind what may wait for them", func() bool {
		more(1000)
		return d.metric("busbar_slow_clients_replayed_total") >= 2
	})
	more(1000)
	var done sync.WaitGroup
	for _, f := range all {
		f.last = last + 1000
		done.Go(f.follow)
	}
	for range 10 { // while they catch up
		more(100)
	}
	done.Wait()
	for i, f := range all {
		if f.err != nil {
			t.Errorf("client %d, %d events from %d on: %v", i, f.last-begin, f.first, f.err)
		}
	}
}
