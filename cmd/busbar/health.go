package main

import (
	"errors"
	"flag"
	"net/http"
	"time"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/memory"
)

const healthUsage = `Asks the server on this host how it is, for a container's health check. Prints the answer.

Usage: busbar health [-ready] [the server's flags]

It finds the API as the server does: by -api, BUSBAR_API or the file of -config. It exits with 0
when the answer is good, and with 1 when it isn't, or doesn't come. It needs no token.
`

// health is the command of that name.
func health(args []string, s streams) error {
	ready, timeout := false, 5*time.Second
	add := func(t *cli.Set) {
		t.Group("Flags")
		t.Env = false
		t.Add("ready", cli.Bool(&ready), "ask whether new connections are to be sent here (/readyz), not only whether the server runs (/healthz)")
		t.Add("timeout", cli.Duration(&timeout, time.Millisecond, 0), "how long the answer may take")
	}
	shares := memory.Defaults()
	o := defaultOptions(shares)
	o.flags.Command = "busbar health"
	add(o.flags)
	err := o.parse(args, s.getenv, shares)
	if errors.Is(err, flag.ErrHelp) {
		help := cli.New("busbar health", healthUsage)
		add(help)
		return errors.Join(err, writeHelp(s.out, help))
	}
	if err != nil {
		return err
	}
	probe := "healthz"
	if ready {
		probe = "readyz"
	}
	return newAPIClient(o.API.Address, "", timeout).do(apiCall{method: http.MethodGet, path: []string{probe}}, copyTo(s.out))
}
