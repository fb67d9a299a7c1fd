package httpapi

import (
	"testing"

	"github.com/busbar-ws/busbar/internal/leaks"
)

// TestMain fails on goroutines and descriptors that a test left behind.
func TestMain(m *testing.M) { leaks.Main(m, leaks.IdleWorkers) }
