// Package client is a client of Busbar that stays connected.
//
// It connects again when a connection ends or falls silent, waiting as the server asks or for a random and growing
// time. It keeps a cursor, the seq of the last change event that was handled, with which the server sends what came
// since, hands over each event once, and fetches what the server says was lost. clients/js is the same for browsers.
//
//	c := client.New("ws://127.0.0.1:4322", client.Options{
//		Token: client.Token(token),
//		Since: new(lastSeq),
//		Handle: func(ctx context.Context, m client.Message) error {
//			if m.Change != nil {
//				return apply(ctx, m.Change) // and keep m.Change.Seq with it
//			}
//			return nil
//		},
//	})
//	err := c.Run(ctx)
//
// Run is called by one goroutine, and calls the functions of Options on it, one at a time: what comes next is read when
// they have returned. All other methods may be called from any goroutine, also from within these functions.
package client
