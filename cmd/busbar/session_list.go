package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/busbar-ws/busbar/internal/auth"
)

const sessionListUsage = `Lists the sessions of a data directory in no particular order: expired ones too, revoked ones not.

Usage: busbar session list [flags]

A session's id is made from its token and can't be turned back into it: it may be shown, logged, and
given to "busbar session revoke". Times are in UTC.
`

func sessionList(args []string, s streams) error {
	var data string
	var asJSON bool
	t := newFlagTable("busbar session list", sessionListUsage)
	t.Group("Flags")
	t.Bool(&asJSON, "json", "print one JSON object per line; times are Unix seconds, expires_at 0 = never")
	t.ServerDataDir(&data)
	if _, err := t.parseOrHelp(args, s); err != nil {
		return err
	}
	store, err := openExistingSessions(data, true, s)
	if err != nil {
		return err
	}
	print := sessionTable(s.out, time.Now())
	if asJSON {
		print = sessionLines(s.out)
	}
	any := false
	err = eachSession(store, func(x auth.Session) error {
		any = true
		return print(x)
	})
	if err == nil && !any {
		fmt.Fprintf(s.err, "busbar: no sessions in %s\n", dataDir{data}.database())
	}
	return errors.Join(err, store.Close())
}

func eachSession(store *auth.Sessions, print func(auth.Session) error) error {
	for found, err := range store.List(context.Background()) {
		if err == nil {
			err = print(found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sessionTable prints rows as they come: columns have fixed widths, so that a million
// sessions needn't be held to find the widest.
func sessionTable(w io.Writer, now time.Time) func(auth.Session) error {
	row := func(cells ...any) error {
		line := fmt.Sprintf("%-16s  %-20s  %-12s  %-20s  %-26s  %s", cells...)
		_, err := fmt.Fprintln(w, strings.TrimRight(line, " "))
		return err
	}
	headed := false
	return func(x auth.Session) error {
		if !headed {
			headed = true
			if err := row("ID", "USER", "TENANT", "CREATED", "EXPIRES", "DEVICE"); err != nil {
				return err
			}
		}
		return row(x.ID, tableCell(x.UserID), tableCell(x.Tenant), timeCell(x.Created), expiryCell(x.Expires, now), tableCell(x.Device))
	}
}

// tableCell is text that can't change the screen: names come from whoever made the session.
func tableCell(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

func timeCell(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func expiryCell(expires, now time.Time) string {
	switch {
	case expires.IsZero():
		return "never"
	case expires.After(now):
		return timeCell(expires)
	}
	return timeCell(expires) + " ended"
}

func sessionLines(w io.Writer) func(auth.Session) error {
	encoder := json.NewEncoder(w)
	return func(x auth.Session) error { return encoder.Encode(x) }
}
