package poll

import (
	"net"
	"sync"
	"testing"
)

// Other programs ask the kernel for ports all the time. None may be given the one that is
// being reserved, or listen on it.
func TestPortIsNeverLetGo(t *testing.T) {
	t.Parallel()
	var others sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
					ln.Close()
				}
			}
		})
	}
	for range 2000 {
		p, err := reservePort("127.0.0.1:0")
		if err != nil {
			t.Error(err)
			break
		}
		if ln, err := net.Listen("tcp", p.Addr.String()); err == nil {
			t.Errorf("somebody else listens on %s", p.Addr)
			ln.Close()
		}
		p.Release()
	}
	close(stop)
	others.Wait()
}
