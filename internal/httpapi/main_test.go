package httpapi

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails on goroutines that a test left behind; those of gnet's worker pool start
// when it is imported.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }
