package main

import (
	"strconv"

	"github.com/busbar-ws/busbar/internal/memory"
)

// parseConfig reads the daemon's flags from args, which don't hold the program's
// name, and from the environment. It returns flag.ErrHelp when help was asked for; any
// other error is a usageError: one line for standard error, after which the process
// exits with 2. With Config.Version set nothing else was read or checked.
func parseConfig(args []string, getenv func(string) string) (Config, error) {
	var cfg Config
	err := cfg.parse(newServeFlags(&cfg), args, getenv)
	return cfg, err
}

// parse is parseConfig for a table that may have other flags too.
func (cfg *Config) parse(t *flagTable, args []string, getenv func(string) string) error {
	// The environment isn't read before it is known that it counts: -version has to
	// work in a container whose variables are wrong.
	if _, err := t.parse(args, func(string) string { return "" }); err != nil || cfg.Version {
		return err
	}
	if err := t.parseEnvironment(getenv); err != nil {
		return err
	}
	if err := applyPylonMaxFrame(t, getenv("PYLON_WS_MAX_FRAME")); err != nil {
		return err
	}
	cfg.sources = t.given()
	cfg.fitMemory(memory.Defaults())
	if t.setting("max-message-in").given == "" && !cfg.Echo {
		// Nobody has asked for more to come in than may go out.
		cfg.Hub.Loops.MaxMessageIn = min(cfg.Hub.Loops.MaxMessageIn, cfg.Hub.MaxMessageOut)
	}
	cfg.AdminToken = getenv("BUSBAR_ADMIN_TOKEN")
	return cfg.validate()
}

// applyPylonMaxFrame lets text, a number of bytes, be the default of -max-message-out,
// as it is for the hub that Busbar replaces.
func applyPylonMaxFrame(t *flagTable, text string) error {
	const variable = "PYLON_WS_MAX_FRAME"
	out := t.setting("max-message-out")
	if text == "" || out.given != "" {
		return nil
	}
	// Pylon reads no units there. A text that the two understand differently is a mistake.
	if _, err := strconv.ParseUint(text, 10, 64); err == nil && out.store(text) {
		out.given = variable
		return nil
	}
	return usagef("%s: %q isn't a whole number of bytes from %d to %d; -max-message-out takes its place",
		variable, text, minMessage, gib)
}
