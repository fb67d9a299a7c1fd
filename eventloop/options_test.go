package eventloop

import (
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/memory"
)

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		"loops":           {Loops: 1000},
		"max connections": {Accept: AcceptOptions{MaxConnections: -1}},
		"max message in":  {MaxMessageIn: 10},
		"queue":           {Memory: MemoryOptions{QueueMessages: -1}},
		"accept burst":    {Accept: AcceptOptions{Burst: -1}},
		"max handshakes":  {Accept: AcceptOptions{MaxHandshakes: -1}},
		"lag":             {Slow: SlowOptions{LagTime: time.Millisecond}},
		"ping interval":   {Timeouts: Timeouts{PingInterval: time.Millisecond}},
		"lag bytes:":      {Slow: SlowOptions{LagBytes: memory.Defaults().Buffers}}, // what nobody has set isn't named
		"queue bytes:":    {Memory: MemoryOptions{QueueBytes: memory.Defaults().Buffers}},
		"buffer bytes:":   {Memory: MemoryOptions{BufferBytes: 3 << 20, QueueBytes: 2 << 20}},
	} {
		if _, err := New(&host{}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", want, err)
		}
	}
}
