package logtest

import (
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

func TestMemoryLog(t *testing.T) {
	Run(t, Kind{Open: func(t *testing.T, o Options) Opened { return Opened{Log: hub.NewMemoryLog(o.MaxEvents, 0)} }})
}
