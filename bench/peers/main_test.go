package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// asTarget is the variable that makes this test's binary the program itself.
const asTarget = "PEERS_TEST_AS_TARGET"

func TestMain(m *testing.M) {
	if os.Getenv(asTarget) != "" {
		main()
		return
	}
	if err := buildRaw(); err != nil {
		fmt.Fprintln(os.Stderr, "building raw:", err) // its tests fail
	}
	os.Exit(m.Run())
}

// buildRaw does what the script named build does, beside this test's binary.
func buildRaw() error {
	me, err := os.Executable()
	if err != nil {
		return err
	}
	cc := exec.Command("cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", filepath.Join(filepath.Dir(me), "peers-raw"), "raw/raw.c")
	cc.Stderr = os.Stderr
	return cc.Run()
}

func TestListNamesEveryTarget(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"list"}, &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(out.String()); !slices.Equal(got, names) {
		t.Errorf("listed: %q", got)
	}
}

func TestCommandLineRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"nothing":          {},
		"no such target":   {"nginx"},
		"unknown flag":     {"raw", "-depth", "3"},
		"left over":        {"raw", "gorilla"},
		"queue of nothing": {"gorilla", "-queue", "0"},
		"no port":          {"gorilla", "-listen", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(args, &out); err == nil {
				t.Errorf("run(%q) served", args)
			}
			if out.Len() > 0 {
				t.Errorf("run(%q) printed %q", args, out.String())
			}
		})
	}
	if err := run([]string{"nginx"}, &bytes.Buffer{}); !errors.Is(err, errUsage) {
		t.Errorf("an unknown target gives %v, want one that says how to call it", err)
	}
}

func TestPublishedData(t *testing.T) {
	pub := protowire.AppendVarint(protowire.AppendTag(nil, 6, protowire.VarintType), 300)
	pub = protowire.AppendString(protowire.AppendTag(pub, 4, protowire.BytesType), "payload")
	push := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "channel")
	push = protowire.AppendBytes(protowire.AppendTag(push, 4, protowire.BytesType), pub)

	data, err := publishedData(push)
	if err != nil || string(data) != "payload" {
		t.Errorf("got %q, %v", data, err)
	}
	for n := range push {
		if _, err := publishedData(push[:n]); !errors.Is(err, errNoPublication) {
			t.Errorf("of the first %d bytes: got %v, want %v", n, err, errNoPublication)
		}
	}
}
