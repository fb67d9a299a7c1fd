package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/cli"
)

const whyUsage = `Says whether a client was sent a change event, and if not why.

Usage: busbar why -client ID -seq N [flags]

It goes by what the server keeps anyway: the change log, who its clients are, and the last few hundred
closes and losses of each event loop. Where these don't reach back it says unknown. With several
nodes it has to be asked of the node that has, or had, the client: GET /v1/clients lists ids.
`

// why is the command of that name.
func why(args []string, s streams) error {
	var f apiFlags
	var client, seq int
	var asJSON bool
	t := cli.New("busbar why", whyUsage)
	t.Group("Question")
	t.Add("client", cli.Int(&client, 0, maxID), "the client's id")
	t.Add("seq", cli.Int(&seq, 0, hub.MaxSeq), "seq of the change event")
	t.Add("json", cli.Bool(&asJSON), "print the API's answer")
	f.add(t)
	if _, err := parseOrHelp(t, args, s); err != nil {
		return err
	}
	for _, name := range []string{"client", "seq"} {
		if t.Flag(name).Given == "" {
			return cli.Usagef("why: say which, with -%s", name)
		}
	}
	api, err := f.client(s)
	if err != nil {
		return err
	}
	call := apiCall{method: http.MethodGet, path: []string{"v1", "why"}, query: url.Values{
		"client": {strconv.Itoa(client)}, "seq": {strconv.Itoa(seq)},
	}}
	if asJSON {
		return api.do(call, copyTo(s.out))
	}
	var a hub.Answer
	if err := api.do(call, decodeTo(&a)); err != nil {
		return err
	}
	_, err = fmt.Fprint(s.out, whyText(&a))
	return err
}

// maxID is above all clients' ids.
const maxID = 1<<53 - 1

// whyText is the answer for people: the verdict first, on a line of its own.
func whyText(a *hub.Answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", a.Verdict, a.Detail)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	if a.Cause != "" {
		line("cause", "%s", a.Cause)
	}
	const clock = "2006-01-02 15:04:05.0 MST"
	if a.At != nil {
		line("when", "%s", a.At.Format(clock))
	}
	line("client", "%d, user %q, tenant %q", a.Client, a.UserID, a.Tenant)
	if a.ConnectedAt != nil {
		line("connected", "%s", a.ConnectedAt.Format(clock))
	}
	if a.ClosedAt != nil {
		line("closed", "%s, %s", a.ClosedAt.Format(clock), a.CloseCause)
	}
	return b.String()
}
