package main

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

func declareNodes(t *flagTable, cfg *Config) {
	const file = "file"
	n, c := &cfg.Log.NATS, &cfg.Log.Cluster
	t.Group("Several nodes (-log nats)")
	servers := t.Text(&n.Servers, "nats", "", "URLs", "servers of the NATS that has the change log, with commas between them; with a "+
		"password only in "+environmentName("nats"))
	servers.accepts = "a list of URLs such as nats://10.0.0.1:4222,tls://nats.example.com:4222"
	servers.shown = withoutSecrets
	servers.store = func(text string) bool { return store(&n.Servers, text, isNATSURLs(text)) }
	t.Text(&n.Creds, "nats-creds", "", file, "credentials file (JWT and NKEY) to show to -nats")
	t.Text(&n.NKey, "nats-nkey", "", file, "file with the seed of an NKEY to show to -nats")
	t.Text(&n.CA, "nats-ca", "", file, "certificates (PEM) that -nats' own is checked with; empty = the system's")
	t.Text(&n.Cert, "nats-cert", "", file, "certificate (PEM) to show to -nats")
	t.Text(&n.Key, "nats-key", "", file, "key (PEM) of -nats-cert")
	t.Text(&n.Stream, "nats-stream", "busbar", "name", "of the stream, which its subjects begin with; made when absent")
	t.Int(&n.Replicas, "nats-replicas", 3, 1, 5, "servers that each event is stored on; 1 where NATS is a single server")
	t.Duration(&n.Timeout, "nats-timeout", 10*time.Second, time.Second,
		"how long a publisher waits while the stream has no leader, which is up to 9s after a server was killed; then 503")
	t.Bool(&n.Publish, "nats-publish", "take what is published by requests to the subject that is -nats-stream and .publish, from whoever "+
		"-nats lets send there")
	t.Int(&cfg.Hub.Loops.Node, "node", 0, 0, 255, "number of this node, which no other of the same stream has: its clients' ids begin with it")
	t.Text(&c.Name, "cluster-name", "busbar", "name", "of the nodes that are a NATS cluster themselves")
	t.Text(&c.Listen, "cluster-listen", "", "address", "where the other nodes reach this one; given, NATS runs inside of this process")
	routes := t.Text(&c.Routes, "cluster-routes", "", "addresses", "-cluster-listen of all nodes, three or more, with commas between them")
	routes.accepts = "a list of addresses such as 10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222"
	routes.store = func(text string) bool { return store(&c.Routes, text, isAddresses(text)) }
	t.Text(&c.Secret, "cluster-secret-file", "", file, "file whose one line is what the nodes show each other")
	t.Text(&c.CA, "cluster-ca", "", file, "certificates (PEM) that other nodes' are checked with; empty = no TLS between nodes")
	t.Text(&c.Cert, "cluster-cert", "", file, "certificate (PEM) of this node, for its clients and servers alike")
	t.Text(&c.Key, "cluster-key", "", file, "key (PEM) of -cluster-cert")
}

func isNATSURLs(text string) bool {
	for part := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return text == ""
		}
	}
	return true
}

// splitAddresses are those of a list.
func splitAddresses(text string) (addresses []string) {
	for part := range strings.SplitSeq(text, ",") {
		addresses = append(addresses, strings.TrimSpace(part))
	}
	return addresses
}

// isCluster is whether enough nodes are named for one to be lost, this one among them.
func isCluster(listen, routes string) bool {
	addresses := splitAddresses(routes)
	has := slices.Contains(addresses, listen)
	slices.Sort(addresses)
	return has && len(addresses) >= 3 && len(slices.Compact(addresses)) == len(addresses)
}

func isAddresses(text string) bool {
	return text == "" || !slices.ContainsFunc(splitAddresses(text), func(part string) bool { return !isAddress(part) })
}

// validateNodes checks what belongs together.
func (c *Config) validateNodes() error {
	n, k := &c.Log.NATS, &c.Log.Cluster
	switch {
	case c.Log.Kind != logNATS:
		return nil
	case n.Servers == "" && k.Listen == "":
		return usagef("%s: %q needs -nats, or -cluster-listen and what goes with it", c.source("log"), logNATS)
	case n.Servers != "" && k.Listen != "":
		return usagef("%s is given beside %s; give one of them", c.source("cluster-listen"), c.source("nats"))
	case c.source("nats") == "-nats" && strings.Contains(n.Servers, "@"):
		return usagef("-nats: holds a user or password, which anyone on this host can read there; give it as %s", environmentName("nats"))
	case n.Creds != "" && n.NKey != "":
		return usagef("%s is given beside %s; give one of them", c.source("nats-nkey"), c.source("nats-creds"))
	case (n.Cert == "") != (n.Key == ""):
		return usagef("-nats-cert and -nats-key go together")
	case k.Listen != "" && (k.Routes == "" || k.Secret == ""):
		return usagef("%s: %q needs -cluster-routes and -cluster-secret-file", c.source("cluster-listen"), k.Listen)
	case k.Listen != "" && !isCluster(k.Listen, k.Routes):
		return usagef("%s: %q has to be three addresses or more, each once, and %s %q one of them",
			c.source("cluster-routes"), k.Routes, c.source("cluster-listen"), k.Listen)
	case (k.CA == "") != (k.Cert == "") || (k.Cert == "") != (k.Key == ""):
		return usagef("-cluster-ca, -cluster-cert and -cluster-key go together")
	case c.Hub.Seqs != 0:
		return usagef("%s: a stream numbers its messages itself, so that it doesn't go with %s nats", c.source("seq"), c.source("log"))
	}
	return nil
}
