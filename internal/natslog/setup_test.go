package natslog

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/logtest"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/nats-io/nats.go/jetstream"
)

// What somebody has set on the stream stays, whatever Busbar changes.
func testAdministered(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "administered")
	l := open(t, o)
	administer := func(config jetstream.StreamConfig) {
		t.Helper()
		config.Description, config.Compression, config.Metadata["team"] = "ours", jetstream.S2Compression, "sync"
		if _, err := l.js.UpdateStream(within(t), config); err != nil {
			t.Fatal(err)
		}
	}
	administer(l.stream.CachedInfo().Config)
	want := func(when string, events int64) {
		t.Helper()
		stream, err := l.js.Stream(within(t), o.Stream)
		if err != nil {
			t.Fatal(err)
		}
		got := stream.CachedInfo().Config
		if got.Description != "ours" || got.Compression != jetstream.S2Compression || got.Metadata["team"] != "sync" || got.MaxMsgs != events {
			t.Errorf("%s: %+v", when, got)
		}
	}
	o.MaxEvents = 100
	open(t, o)
	want("with another limit", 100)
	if _, _, err := Bump(within(t), o); err != nil {
		t.Fatal(err)
	}
	want("bumped", 100)
	e, err := OpenExport(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	want("closed", 100)
	if err := e.Close(within(t), false); err != nil {
		t.Fatal(err)
	}
	want("open again", 100)
	mustAppend(t, l, changeOf("1"))

	o = named(t, c, "administered-copy")
	err = Import(within(t), o, hub.Bounds{Oldest: 8, Last: 7, Before: 7}, func(func(*hub.Change, time.Time) error) error { return nil }, func() error {
		stream, err := l.js.Stream(within(t), o.Stream)
		if err != nil {
			return err
		}
		administer(stream.CachedInfo().Config)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want("copied", int64(o.MaxEvents))
}

// While somebody has set the stream up so that nodes can't publish or aren't told, they say so, and follow it as they can.
func testSetUpOtherwise(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "otherwise")
	l := open(t, o)
	f := follow(l)
	wanted := l.stream.CachedInfo().Config
	set := func(change func(*jetstream.StreamConfig)) {
		t.Helper()
		config := wanted
		change(&config)
		if _, err := l.js.UpdateStream(within(t), config); err != nil {
			t.Fatal(err)
		}
		l.askNow()
	}
	events := 0
	for setting, change := range map[string]func(*jetstream.StreamConfig){
		"subjects":     func(c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere"} },
		"republish":    func(c *jetstream.StreamConfig) { c.RePublish = nil },
		"max_msg_size": func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 },
		"no_ack":       func(c *jetstream.StreamConfig) { c.NoAck = true },
	} {
		set(change)
		wstest.Eventually(t, setting+" is noticed", func() bool {
			err := l.Healthy()
			return err != nil && strings.Contains(err.Error(), setting)
		})
		if setting == "republish" {
			op := withOp(changeOf("1"), "op")
			done := append(mustAppend(t, l, op), mustAppend(t, l, op)...)
			if events++; !done[1].Repeated || len(f.had()) != events {
				t.Errorf("got %+v, and %d are delivered", done, len(f.had()))
			}
		}
		set(func(*jetstream.StreamConfig) {})
		wstest.Eventually(t, setting+" is put right", func() bool { return l.Healthy() == nil })
		mustAppend(t, l, changeOf("1"))
		events++
		set(change)
		if err := open(t, o).Healthy(); err != nil {
			t.Errorf("%s: a node that is started: %v", setting, err)
		}
		wstest.Eventually(t, setting+" is put right by a node", func() bool { return l.Healthy() == nil })
	}
	if got := len(f.had()); got != events {
		t.Errorf("delivered %d, want %d", got, events)
	}
}

// A node that is started with less than what the stream keeps says what that costs.
func testNarrowed(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "narrowed")
	mustAppend(t, open(t, o), logtest.Changes(20)...)
	logged := new(bytes.Buffer)
	o.MaxEvents, o.Logger = 5, slog.New(slog.NewTextHandler(logged, nil))
	l := open(t, o)
	if b := l.Bounds(); b.Last-b.Oldest != 4 {
		t.Errorf("got %+v", b)
	}
	if text := logged.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "messages_let_go=15") {
		t.Errorf("logged %s", text)
	}
}
