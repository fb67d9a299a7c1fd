package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

const publishChangesUsage = `Publishes change events, one JSON object per line, and prints the first and last seq.

Usage: busbar publish changes FILE|- [flags]

A line has "entity", "row_id", "kind", and may have "data", "timestamp", "op_id" and "audience". All
lines are checked before the first is published.
`

const publishRowUsage = `Publishes a row's bytes to the clients that subscribed to it. They become the row's snapshot, which
later subscribers start from, unless -update says that they are an update on top of it.

Usage: busbar publish row ENTITY ROW FILE|- [flags]
`

const publishBinaryUsage = `Sends one binary message to every client.

Usage: busbar publish binary FILE|- [flags]
`

func publishChanges(args []string, s streams) error {
	var f apiFlags
	t := newFlagTable("busbar publish changes", publishChangesUsage)
	operands, err := f.operands(t, 1, "a file, or - for standard input", args, s)
	if err != nil {
		return err
	}
	return f.sendFile(operands[0], apiCall{
		method: http.MethodPost, path: []string{"v1", "changes"}, contentType: "application/x-ndjson",
	}, s)
}

func publishRow(args []string, s streams) error {
	var f apiFlags
	var update bool
	var tenant string
	t := newFlagTable("busbar publish row", publishRowUsage)
	t.Group("Row")
	t.Bool(&update, "update", "send the bytes as an update, and leave the stored snapshot as it is")
	t.Name(&tenant, "tenant", "tenant whose row it is; without it every client may read it")
	operands, err := f.operands(t, 3, "an entity, a row and a file, or - for standard input", args, s)
	if err != nil {
		return err
	}
	query := url.Values{}
	if update {
		query.Set("update", "1")
	}
	if tenant != "" {
		query.Set("tenant", tenant)
	}
	return f.sendFile(operands[2], apiCall{
		method: http.MethodPut, path: []string{"v1", "rows", operands[0], operands[1]}, query: query,
		contentType: "application/octet-stream",
	}, s)
}

func publishBinary(args []string, s streams) error {
	var f apiFlags
	t := newFlagTable("busbar publish binary", publishBinaryUsage)
	operands, err := f.operands(t, 1, "a file, or - for standard input", args, s)
	if err != nil {
		return err
	}
	return f.sendFile(operands[0], apiCall{
		method: http.MethodPost, path: []string{"v1", "broadcast"}, contentType: "application/octet-stream",
	}, s)
}

// sendFile makes the call with a file, or standard input, as its body. Neither is held
// in memory: the server bounds what it takes.
func (f *apiFlags) sendFile(name string, what apiCall, s streams) error {
	client, err := f.client(s)
	if err != nil {
		return err
	}
	what.body, what.size = s.in, -1
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		defer file.Close()
		what.body = file
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			what.size = info.Size()
		}
	}
	return client.do(what, copyTo(s.out))
}

// maxStdin bounds JSON read from standard input: the largest -max-message-out.
const maxStdin = gib

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxStdin+1))
	if err != nil {
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	if len(b) > maxStdin {
		return nil, fmt.Errorf("standard input holds more than %s", formatSize(maxStdin))
	}
	return b, nil
}
