package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// asTarget is the variable that makes this test's binary the program itself.
const asTarget = "PEERS_TEST_AS_TARGET"

func TestMain(m *testing.M) {
	if os.Getenv(asTarget) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestListNamesEveryTarget(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"list"}, &out); err != nil {
		t.Fatal(err)
	}
	if names := strings.Fields(out.String()); !slices.Equal(names, slices.Sorted(maps.Keys(targets))) {
		t.Errorf("listed: %q", names)
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
