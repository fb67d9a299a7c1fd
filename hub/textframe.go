package hub

import (
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/wsproto"
)

// A text message is encoded once, where its frame keeps it: behind room for the frame's header,
// whose size its own tells.
const headerRoom = 10

// roomFor is a buffer to append a message of about so many bytes to.
func roomFor(size int) []byte { return make([]byte, headerRoom, headerRoom+size) }

// wireOf puts the header before the message that was appended to roomFor's buffer.
func wireOf(message []byte) []byte {
	size := len(message) - headerRoom
	wire := message[headerRoom-wsproto.HeaderSize(size):]
	wsproto.AppendHeader(wire[:0], ws.OpText, size)
	return wire
}

func textFrame(message []byte) *eventloop.Frame { return eventloop.FrameOf(wireOf(message)) }
