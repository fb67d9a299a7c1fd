package cli

import (
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
)

var noEnvironment = environment(nil)

// environment is a getenv over a fixed set of variables.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

// aTable is a table as subcommands build them.
func aTable(data, user *string) *Set {
	t := New("busbar session revoke", "Usage: busbar session revoke [flags] TOKEN\n")
	t.Operands = 1
	*data = "./busbar-data"
	t.AddShared("data", Path(data, "directory"), "data directory with changes.db, busbar.db and admin-token; made when absent")
	t.Add("user", Text(user, "name"), "whose session")
	return t
}

func TestCommandFlags(t *testing.T) {
	variables := environment(map[string]string{"BUSBAR_DATA": "/srv/b", "BUSBAR_USER": "root"})
	for _, test := range []struct {
		args     string
		data     string
		user     string
		operands string
	}{
		{"", "/srv/b", "", ""}, // -user has no variable: only shared flags do
		{"tok", "/srv/b", "", "tok"},
		{"-data d -user u tok", "d", "u", "tok"},
		{"tok -data d", "d", "", "tok"},
		{"-data \xff tok", "\xff", "", "tok"}, // files' names are bytes
		{"-data d -- -tok", "d", "", "-tok"},
	} {
		var data, user string
		operands, err := aTable(&data, &user).Parse(strings.Fields(test.args), variables)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		if data != test.data || user != test.user || !slices.Equal(operands, strings.Fields(test.operands)) {
			t.Errorf("%s: got data %q, user %q, operands %q", test.args, data, user, operands)
		}
	}
}

func TestCommandFlagErrors(t *testing.T) {
	for args, want := range map[string]string{
		"a b":      `"b": unexpected argument; busbar session revoke -help shows what busbar session revoke takes`,
		"-dat d":   `-dat: no such flag; did you mean -data?`,
		"-qqq":     `-qqq: no such flag; busbar session revoke -help lists them`,
		"tok -use": `-use: no such flag; did you mean -user?`,
		"-user":    `-user: needs a value: a name`,
	} {
		var data, user string
		_, err := aTable(&data, &user).Parse(strings.Fields(args), noEnvironment)
		var usage UsageError
		if !errors.As(err, &usage) || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", args, err, want)
		}
	}
}

func TestCommandHelp(t *testing.T) {
	var data, user string
	table := aTable(&data, &user)
	if _, err := table.Parse([]string{"tok", "-h"}, noEnvironment); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("-h: got %v, want flag.ErrHelp", err)
	}
	var b strings.Builder
	if err := table.WriteHelp(&b); err != nil {
		t.Fatal(err)
	}
	want := `Usage: busbar session revoke [flags] TOKEN
  -data directory                      default ./busbar-data    BUSBAR_DATA
        data directory with changes.db, busbar.db and admin-token; made when absent
  -user name
        whose session
`
	if b.String() != want {
		t.Errorf("help:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"loops", "loops", 0},
		{"loop", "loops", 1}, {"lopos", "loops", 2}, {"kitten", "sitting", 3},
	} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
