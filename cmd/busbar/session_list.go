package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/busbar-ws/busbar/internal/auth"
)

const sessionListUsage = `Lists the sessions in no particular order: expired ones too, revoked ones not.

Usage: busbar session list [flags]

A session's id is made from its token and can't be turned back into it: it may be shown, logged, and
given to "busbar session revoke". Times are in UTC.
`

func sessionList(args []string, s streams) error {
	var f sessionSource
	var asJSON bool
	t := newFlagTable("busbar session list", sessionListUsage)
	t.Group("List")
	t.Bool(&asJSON, "json", "print one JSON object per line; times are Unix seconds, expires_at 0 = never")
	f.declare(t)
	if _, err := t.parseOrHelp(args, s); err != nil {
		return err
	}
	api, err := f.client(t, s)
	if err != nil {
		return err
	}
	print := sessionTable(s.out, time.Now())
	if asJSON {
		print = sessionLines(s.out)
	}
	any := false
	each := func(x auth.Session) error {
		any = true
		return print(x)
	}
	place := dataDir{f.data}.database()
	if api != nil {
		place, err = api.address, api.eachSession(each)
	} else {
		err = eachSession(f.data, s, each)
	}
	if err == nil && !any {
		fmt.Fprintf(s.err, "busbar: no sessions in %s\n", place)
	}
	return err
}

func eachSession(data string, s streams, print func(auth.Session) error) error {
	store, err := openExistingSessions(data, true, s)
	if err != nil {
		return err
	}
	for found, err := range store.List(context.Background()) {
		if err == nil {
			err = print(found)
		}
		if err != nil {
			return errors.Join(err, store.Close())
		}
	}
	return store.Close()
}

func (c *apiClient) eachSession(print func(auth.Session) error) error {
	return c.do(apiCall{method: http.MethodGet, path: []string{"v1", "sessions"}}, func(r io.Reader) error {
		for lines := json.NewDecoder(r); ; {
			var one auth.Session
			err := lines.Decode(&one)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = print(one)
			}
			if err != nil {
				return err
			}
		}
	})
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
