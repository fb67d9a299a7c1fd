package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/natslog"
	"github.com/busbar-ws/busbar/internal/natsnode"
	"github.com/busbar-ws/busbar/internal/natspeers"
	"github.com/busbar-ws/busbar/internal/natspublish"
	"github.com/busbar-ws/busbar/internal/natsrows"
)

// openNodes connects this node to the others: by a NATS that people run, or one inside of this process. It waits
// for as long as that isn't there.
func (srv *server) openNodes(o *hub.Options) error {
	c := srv.cfg
	on, err := srv.openNATS()
	if err != nil {
		return err
	}
	log, err := natslog.Open(context.Background(), on)
	if err != nil {
		return fmt.Errorf("-log nats: %w", err)
	}
	srv.closers = append(srv.closers, log.Close)
	peers, err := natspeers.Open(context.Background(), natspeers.Options{
		Servers: on.Servers, NATS: on.NATS, Name: c.Log.NATS.Stream, Node: o.Loops.Node, Logger: srv.log,
	})
	if err != nil {
		return fmt.Errorf("-node: %w", err)
	}
	srv.closers = append(srv.closers, func() error {
		if err := peers.Close(); err != nil { // as when NATS is away
			srv.log.Warn("ending", "error", err)
		}
		return nil
	})
	srv.nats, srv.ready = log.Conn(), log.Healthy
	srv.failed = peers.Failed()
	o.Log, o.Peers = log, peers
	if o.Rows.Fetch == nil {
		return srv.openNodesRows(o, &on)
	}
	return nil
}

// openNodesRows has rows where the change log is.
func (srv *server) openNodesRows(o *hub.Options, on *natslog.Options) error {
	rows, err := natsrows.Open(context.Background(), rowsOn(on))
	if err != nil {
		return fmt.Errorf("rows on NATS: %w", err)
	}
	srv.closers = append(srv.closers, rows.Close)
	o.Rows.Store = rows
	log := srv.ready
	srv.ready = func() error {
		if err := log(); err != nil {
			return err
		}
		return rows.Healthy()
	}
	return nil
}

// rowsOn is where rows are, beside a change log.
func rowsOn(on *natslog.Options) natsrows.Options {
	return natsrows.Options{
		Servers: on.Servers, NATS: on.NATS, Name: on.Stream, Replicas: on.Replicas, MaxBytes: on.MaxBytes,
		PublishTimeout: on.PublishTimeout, Logger: on.Logger,
	}
}

// openPublishing takes what is published by NATS requests.
func (srv *server) openPublishing() error {
	c := srv.cfg.Log.NATS
	if !c.Publish || srv.cfg.Log.Kind != logNATS || c.Servers == "" {
		return nil
	}
	options, err := c.options()
	if err != nil {
		return err
	}
	if srv.publishing, err = natspublish.Open(natspublish.Options{
		Servers: c.Servers, NATS: options, Stream: c.Stream, Handler: srv.http.Handler, Logger: srv.log,
	}); err != nil {
		return fmt.Errorf("-nats-publish: %w", err)
	}
	return nil
}

// openNATS is where the change log is, on a NATS that runs.
func (srv *server) openNATS() (natslog.Options, error) {
	c := srv.cfg.Log
	options, err := c.NATS.options()
	if err == nil && c.Cluster.Listen != "" {
		options, err = srv.openNode()
	}
	return natslog.Options{
		Servers: c.NATS.Servers, NATS: options, Stream: c.NATS.Stream, Replicas: c.NATS.Replicas,
		MaxEvents: c.Events, MaxBytes: c.Bytes, MaxAge: c.Age, TailBytes: c.Tail,
		PublishTimeout: c.NATS.Timeout, Logger: srv.log,
	}, err
}

// openNode starts the NATS inside of this process.
func (srv *server) openNode() ([]nats.Option, error) {
	c := &srv.cfg.Log.Cluster
	secret, err := os.ReadFile(c.Secret)
	if err != nil {
		return nil, fmt.Errorf("-cluster-secret-file: %w", err)
	}
	o := natsnode.Options{
		Cluster: c.Name, Listen: c.Listen, Routes: cli.Entries(c.Routes), Secret: strings.TrimSpace(strings.TrimPrefix(string(secret), "\ufeff")), // as with the admin token
		Dir: srv.dir.NATS(), MaxStore: 4*int64(srv.cfg.Log.Bytes) + natsStoreSlack, MaxMessage: srv.cfg.Hub.MaxMessageOut, Logger: srv.log,
	}
	if o.Secret == "" {
		return nil, fmt.Errorf("-cluster-secret-file: %s is empty", c.Secret)
	}
	if c.CA != "" {
		if o.TLS, err = c.tls(); err != nil {
			return nil, err
		}
	}
	node, err := natsnode.Start(o)
	if err != nil {
		return nil, fmt.Errorf("-cluster-listen: %w", err)
	}
	srv.closers = append(srv.closers, func() error {
		const patience = 3 * time.Second
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, stream := range []string{srv.cfg.Log.NATS.Stream, natsconn.RowsOf(srv.cfg.Log.NATS.Stream)} {
			node.StepDown(ctx, stream)
		}
		return node.Close()
	})
	return []nats.Option{node.Client()}, nil
}

// natsDescriptors is for the NATS inside of this process: routes, of which there are a few to each node, and files.
const natsDescriptors = 128

// natsStoreSlack is for what NATS stores beside the events themselves, of which it has two copies for a while.
const natsStoreSlack = 1 << 30

// options are read here once, so that what is wrong with a file is said at the start, and anew for each connection.
func (c *natsOptions) options() (options []nats.Option, err error) {
	for _, from := range []struct {
		flag, file string
		option     nats.Option
	}{
		{"-nats-creds", c.Creds, nats.UserCredentials(c.Creds)},
		{"-nats-ca", c.CA, nats.RootCAs(c.CA)},
		{"-nats-cert and -nats-key", c.Cert, nats.ClientCert(c.Cert, c.Key)},
	} {
		if from.file == "" {
			continue
		}
		var o nats.Options
		err := from.option(&o)
		if err == nil && o.UserJWT != nil {
			if _, err = o.UserJWT(); err == nil {
				_, err = o.SignatureCB(nil)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from.flag, err)
		}
		options = append(options, from.option)
	}
	if c.NKey != "" {
		o, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("-nats-nkey: %w", err)
		}
		options = append(options, o)
	}
	return options, nil
}

// tls is for both ends of a route: each node shows the other its certificate.
func (c *clusterOptions) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("-cluster-cert and -cluster-key: %w", err)
	}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("-cluster-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("-cluster-ca: %s has no certificate in PEM", c.CA)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS12,
	}, nil
}
