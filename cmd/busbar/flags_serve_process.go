package main

import "time"

func declareProcess(t *flagTable, cfg *Config) {
	t.Group("Process")
	t.Duration(&cfg.Drain, "drain", 30*time.Second, 0,
		"how long clients have to leave after SIGTERM; 0 = close every connection at once")
	t.Bool(&cfg.Echo, "echo",
		"for conformance suites only: send every message back to whoever sent it, and let everybody in; "+
			"there is no hub, API or data, and flags about those are refused")
	t.Choice(&cfg.Logging.Level, "log-level", "info", []string{"debug", "info", "warn", "error"},
		"the least important lines that are logged")
	t.Choice(&cfg.Logging.Format, "log-format", "text", []string{"text", "json"}, "form of a log line")

	// No environment name: images often set BUSBAR_VERSION to say what they hold.
	t.environment = false
	t.Bool(&cfg.Version, "version", "print the version and exit")
}
