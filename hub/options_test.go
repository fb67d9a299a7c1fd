package hub

import (
	"testing"

	"github.com/busbar-ws/busbar/internal/memory"
)

// Who embeds the hub has the bounds of the daemon: by what this process may come to use.
func TestSizesOfAnEmbedderFitTheMemory(t *testing.T) {
	var o Options
	o.setDefaults()
	s := memory.Defaults()
	if o.Rows.MaxBytes != s.Rows || o.MaxMessageOut != s.Message ||
		o.Loops.Memory.QueueBytes != s.Queue || o.Loops.Memory.BufferBytes != 0 {
		t.Errorf("%+v, want %+v", o, s)
	}
}
