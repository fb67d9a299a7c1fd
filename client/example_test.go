package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/busbar-ws/busbar/client"
	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
)

// A program that follows a server's change events, until it has seen the second.
func Example() {
	ctx := context.Background()
	changes := hub.NewMemoryLog(0, 0)
	changes.Resume(0) // begin with 1 instead of the time
	server, err := hub.New(hub.Options{
		Log:   changes,
		Loops: eventloop.Options{Listen: "127.0.0.1:0", Loops: 1},
		Auth: hub.AuthenticatorFunc(func(_ context.Context, token string) (*hub.Identity, error) {
			return &hub.Identity{UserID: token}, nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Shutdown(ctx) }()
	publish := func(row, data string) {
		change := hub.Change{Entity: "Todo", RowID: row, Kind: hub.Insert, Data: json.RawMessage(data)}
		if _, err := server.PublishChange(change); err != nil {
			log.Fatal(err)
		}
	}
	publish("t_1", `{"title":"milk"}`)

	done := errors.New("done")
	c := client.New("ws://"+server.Addr().String(), client.Options{
		Token: client.Token("alice"),
		Since: new(uint64(0)), // all that there is; keep Change.Seq, and begin with it the next time
		Handle: func(_ context.Context, m client.Message) error {
			if m.Change == nil {
				return nil
			}
			fmt.Printf("%d %s %s %s\n", m.Change.Seq, m.Change.Kind, m.Change.RowID, m.Change.Data)
			if m.Change.Seq == 2 {
				return done
			}
			publish("t_2", `{"title":"eggs"}`)
			return nil
		},
	})
	fmt.Println(c.Run(ctx))
	// Output:
	// 1 insert t_1 {"title":"milk"}
	// 2 insert t_2 {"title":"eggs"}
	// done
}
