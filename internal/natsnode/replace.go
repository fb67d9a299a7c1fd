package natsnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A node that has lost its data has another name from then on: under the old one it could vote for a leader that lacks
// what it had acknowledged. What was assigned to the old name stays so, and has a replica less, until that is removed
// from the cluster. That is for the node that leads the cluster, when the old name was away for removeAfter and a node
// that is there and has all has taken each address of the cluster: then nobody is left whom the old name could be.
// Addresses are those of -cluster-routes, of which each node has one; of a name that is away more may not be known.
const removeAfter = time.Minute

// addressKey is where a server's metadata have its address.
const addressKey = "busbar-address"

// removeReplaced is called again and again, with since when each of the others is away, by its id.
func (n *Node) removeReplaced(ctx context.Context, away map[string]time.Time) {
	running := n.server.Load()
	info, err := running.Jsz(nil)
	if err != nil || info.Meta == nil || info.Meta.Leader != running.Name() {
		clear(away)
		return
	}
	current := map[string]bool{running.Name(): true}
	var gone *server.PeerInfo // one at a time: NATS removes no more
	for _, p := range info.Meta.Replicas {
		// NATS takes minutes to call a node that was killed offline. It isn't current after 10 s of silence.
		current[p.Name] = p.Current && !p.Offline
		switch since, known := away[p.Peer]; {
		case current[p.Name]:
			delete(away, p.Peer)
		case !known:
			away[p.Peer] = time.Now()
		case time.Since(since) >= n.removeAfter:
			gone = p
		}
	}
	if gone == nil || len(info.Meta.Replicas) < len(n.addresses) { // this one isn't among them
		return
	}
	if err := n.remove(ctx, gone, current); err != nil && ctx.Err() == nil {
		n.logger.Warn("a node that was replaced can't be removed from the cluster", "node", gone.Name, "error", err)
	}
}

// remove does so if it was replaced.
func (n *Node) remove(ctx context.Context, gone *server.PeerInfo, current map[string]bool) error {
	conn, err := nats.Connect("", nats.InProcessServer(n), nats.UserInfo(systemUser, n.password), nats.NoReconnect())
	if err != nil {
		return err
	}
	defer conn.Close()
	running, err := ask(ctx, conn)
	if err != nil || !replaced(gone.Name, current, running, n.addresses) {
		return err
	}
	question, _ := json.Marshal(server.JSApiMetaServerRemoveRequest{Peer: gone.Peer})
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, server.JSApiRemoveServer, question)
	if err != nil {
		return err
	}
	var answer server.JSApiMetaServerRemoveResponse
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if !answer.Success {
		return fmt.Errorf("NATS answers %s", m.Data)
	}
	n.logger.Warn("a node lost its data, or was replaced: what it stored is copied to the one that has its address now", "node", gone.Name)
	return nil
}

// replaced is whether that node isn't running, and others that are current have all addresses. A stream without a
// leader may have lost most of its replicas: the rest may lack what was acknowledged, and isn't made the whole.
func replaced(name string, current map[string]bool, running []server.ServerAPIJszResponse, addresses []string) bool {
	taken, led := make(map[string]bool), make(map[string]bool)
	for _, s := range running {
		if s.Server.Name == name {
			return false
		}
		if current[s.Server.Name] {
			taken[s.Server.Metadata[addressKey]] = true
		}
		for _, account := range s.Data.AccountDetails {
			for _, stream := range account.Streams {
				led[stream.Name] = led[stream.Name] || stream.Cluster != nil && current[stream.Cluster.Leader]
			}
		}
	}
	for _, address := range addresses {
		if !taken[address] {
			return false
		}
	}
	for _, is := range led {
		if !is {
			return false
		}
	}
	return true
}

const answerTimeout = time.Second

// ask has all servers that run say who they are, and what streams they have.
func ask(ctx context.Context, conn *nats.Conn) (running []server.ServerAPIJszResponse, err error) {
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	if err := conn.PublishRequest("$SYS.REQ.SERVER.PING.JSZ", inbox, []byte(`{"accounts":true,"streams":true}`)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return running, nil
		}
		if err != nil {
			return nil, err
		}
		var of server.ServerAPIJszResponse
		if err := json.Unmarshal(m.Data, &of); err != nil {
			return nil, err
		}
		if of.Server != nil && of.Data != nil {
			running = append(running, of)
		}
	}
}
