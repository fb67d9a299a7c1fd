package httpapi

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails on goroutines that a test left behind; those of gnet's worker pool start
// when it is imported.
func TestMain(m *testing.M) {
	// gnet's workers wait ten seconds for more to do.
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*goWorker).run.func1"))
}
