package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/signal"
	"syscall"
)

const tailUsage = `Connects to a server as a client and prints what arrives, one message per line.

Usage: busbar tail [flags]

It signs in with the token in -token-file or BUSBAR_TOKEN, else with the admin token of the data
directory. No flag holds a token: a process's arguments can be read by all. When the server goes
away it connects again and asks for the change events above the last that it had, or above -since.
Without either it goes on with what comes. It ends with 0 after -count messages, Ctrl-C or Close
1000, and with 1 when the server won't have it back, such as after 1008.
`

// tailConfig is what tail was told. It is read-only once it was parsed.
type tailConfig struct {
	url      string
	since    int // below 0: not given
	rows     []rowName
	topics   []string
	entities []string
	count    int
	once     bool
	json     bool
	max      int // bytes of one message
}

// tail is the command of that name.
func tail(args []string, s streams) error {
	var cfg tailConfig
	var tokenFile, data, adminTokenFile string
	t := newFlagTable("busbar tail", tailUsage)
	t.Group("Server")
	t.WebSocketURL(&cfg.url, "url", "ws://127.0.0.1:4322", "server to connect to")
	t.Text(&tokenFile, "token-file", "", "file", "file whose one line is the token; - reads it from standard input")
	t.ServerDataDir(&data)
	t.AdminTokenFile(&adminTokenFile)
	t.Bool(&cfg.once, "once", "don't connect again: end when the connection ends")
	declareTailMessages(t, &cfg)
	if _, err := t.parseOrHelp(args, s); err != nil {
		return err
	}
	env := s.getenv("BUSBAR_TOKEN")
	if t.given()["admin-token-file"] == "-admin-token-file" {
		env = "" // a flag beats a variable
	}
	token, err := tailToken(tokenFile, env, data, adminTokenFile, s)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return newTailer(cfg, token, s).run(ctx)
}

func declareTailMessages(t *flagTable, cfg *tailConfig) {
	t.Group("Messages")
	t.Int(&cfg.since, "since", -1, -1, math.MaxInt, "first the retained change events above this seq; -1 = from now on")
	t.Rows(&cfg.rows, "row", "subscribe to a row; may be given several times")
	t.Texts(&cfg.topics, "topic", "name", "subscribe to a topic; may be given several times")
	t.Texts(&cfg.entities, "entity", "name", "subscribe to an entity's change events; may be given several times")
	t.Int(&cfg.count, "count", 0, 0, math.MaxInt, "end after so many messages; 0 = go on")
	t.Size(&cfg.max, "max-message", 64*mib, minMessage, gib, "a larger message ends the connection with 1009")
	t.Bool(&cfg.json, "json", "print binary messages as JSON too, with the bytes in base64")
}

func tailToken(file, env, data, adminTokenFile string, s streams) (string, error) {
	switch {
	case file == "-":
		token, err := readLine(s.in)
		if err != nil {
			err = fmt.Errorf("reading the token from standard input: %w", err)
		}
		return token, err
	case file != "":
		return readTokenFile(file)
	case env != "":
		if !isToken(env) {
			return "", usagef("BUSBAR_TOKEN: that isn't a token: it has to be visible ASCII without spaces")
		}
		return env, nil
	}
	return existingAdminToken(data, adminTokenFile, s)
}

func readTokenFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("-token-file: %w", err)
	}
	defer file.Close()
	token, err := readLine(file)
	if err != nil {
		return "", fmt.Errorf("-token-file %s: %w", path, err)
	}
	return token, nil
}
