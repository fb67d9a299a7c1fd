package leaks

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestDescriptorsThatAreLeft(t *testing.T) {
	before := Descriptors()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	left := before.Left(time.Millisecond)
	if len(left) != 2 || !strings.Contains(strings.Join(left, " "), os.DevNull) || !strings.Contains(strings.Join(left, " "), "socket:") {
		t.Errorf("left are %q, want a file and a socket", left)
	}
	f.Close()
	time.AfterFunc(20*time.Millisecond, func() { l.Close() })
	if left := before.Left(patience); len(left) != 0 {
		t.Errorf("left are %q, and all was closed", left)
	}
}
