package auth

import (
	"testing"
	"time"
)

// SetLookupTimeout is for stores that are opened until the test is over.
func SetLookupTimeout(t *testing.T, timeout time.Duration) {
	before := lookupTimeout
	lookupTimeout = timeout
	t.Cleanup(func() { lookupTimeout = before })
}
