package poll

import (
	"net"
	"reflect"
	"sync"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// DropAddresses has a connection forget its peer's address, which is read first: its
// RemoteAddr is nil from then on. gnet keeps the address twice, in 80 to 112 bytes and two
// objects, and needs neither for a stream (v2.9.8); with 15,000 idle clients that is a seventh
// of what the process grows by. Where gnet's connections look different they keep it.
func DropAddresses(conn gnet.Conn) {
	at := addressFields(conn)
	if !at.known {
		return
	}
	p := reflect.ValueOf(conn).UnsafePointer()
	*(*unix.Sockaddr)(unsafe.Add(p, at.remote)) = nil
	*(*net.Addr)(unsafe.Add(p, at.remoteAddr)) = nil
}

// fields are where gnet's type of connections has the addresses.
type fields struct {
	known              bool
	remote, remoteAddr uintptr
}

var (
	findOnce sync.Once
	found    fields
)

// addressFields looks at the type once: gnet has one.
func addressFields(conn gnet.Conn) fields {
	findOnce.Do(func() {
		t := reflect.TypeOf(conn)
		if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			return
		}
		remote, ok := t.Elem().FieldByName("remote")
		addr, ok2 := t.Elem().FieldByName("remoteAddr")
		found = fields{
			known:  ok && ok2 && remote.Type == reflect.TypeFor[unix.Sockaddr]() && addr.Type == reflect.TypeFor[net.Addr](),
			remote: remote.Offset, remoteAddr: addr.Offset,
		}
	})
	return found
}
