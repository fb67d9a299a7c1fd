// Command stock is two servers that know nothing of the bench: stock PROTOCOL ADDRESS. One is gws and
// passes each message on to all, the other is centrifuge with its own WebSocket handler.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/centrifugal/centrifuge"
	"github.com/lxzan/gws"
)

type echo struct {
	gws.BuiltinEventHandler
	clients sync.Map
}

func (e *echo) OnOpen(c *gws.Conn)           { e.clients.Store(c, true) }
func (e *echo) OnClose(c *gws.Conn, _ error) { e.clients.Delete(c) }
func (e *echo) OnMessage(_ *gws.Conn, m *gws.Message) {
	b := gws.NewBroadcaster(m.Opcode, m.Bytes())
	defer b.Close()
	e.clients.Range(func(c, _ any) bool { _ = b.Broadcast(c.(*gws.Conn)); return true })
}

func main() {
	if os.Args[1] == "echo" {
		log.Fatal(gws.NewServer(&echo{}, nil).Run(os.Args[2]))
	}
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 16 << 20})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(e centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			if os.Args[1] == "deny" {
				done(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			done(centrifuge.SubscribeReply{}, nil)
		})
		c.OnPublish(func(_ centrifuge.PublishEvent, done centrifuge.PublishCallback) { done(centrifuge.PublishReply{}, nil) })
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	log.Fatal(http.ListenAndServe(os.Args[2], nil))
}
