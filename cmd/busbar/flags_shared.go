package main

// The flags that several commands take. All of them have environment names, so that
// one set of variables serves the daemon and the commands beside it.

func (t *flagTable) shared(s *setting) *setting {
	s.env = environmentName(s.name)
	return s
}

// DataDir declares -data for what makes it.
func (t *flagTable) DataDir(p *string) *setting {
	return t.shared(t.Text(p, "data", "./busbar-data", "directory",
		"data directory with changes.db, busbar.db and admin-token; made when absent"))
}

// ServerDataDir declares -data for commands beside the server, which make nothing.
func (t *flagTable) ServerDataDir(p *string) *setting {
	s := t.DataDir(p)
	s.meaning = "the server's data directory, with busbar.db and admin-token"
	return s
}

// API declares -api.
func (t *flagTable) API(p *string) *setting {
	return t.shared(t.Address(p, "api", "127.0.0.1:4321", "address of the HTTP API and pages"))
}

// AdminTokenFile declares -admin-token-file.
func (t *flagTable) AdminTokenFile(p *string) *setting {
	return t.shared(t.Text(p, "admin-token-file", "", "file",
		"file whose one line is the admin token; empty = admin-token in the data directory"))
}
