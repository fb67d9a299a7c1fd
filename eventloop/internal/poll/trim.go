package poll

import (
	"net"
	"reflect"
	"sync"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// trim has a connection let go of what gnet keeps for it and doesn't need for a stream (v2.9.8), a fifth
// of what the process grows by with 15,000 idle clients. That is its peer's address, twice, in 80 to 112
// bytes and two objects: it is read first, and RemoteAddr is nil from then on. And a callback of 16 bytes,
// which only gnet's build tag poll_opt has a use for. Where gnet's connections look different all is kept.
func trim(conn gnet.Conn) {
	at := trimmedFields(conn)
	if !at.known {
		return
	}
	p := reflect.ValueOf(conn).UnsafePointer()
	*(*unix.Sockaddr)(unsafe.Add(p, at.remote)) = nil
	*(*net.Addr)(unsafe.Add(p, at.remoteAddr)) = nil
	(*netpoll.PollAttachment)(unsafe.Add(p, at.attachment)).Callback = nil
}

// fields are where gnet's type of connections has what Trim takes away.
type fields struct {
	known                          bool
	remote, remoteAddr, attachment uintptr
}

var (
	findOnce sync.Once
	found    fields
)

// trimmedFields looks at the type once: gnet has one.
func trimmedFields(conn gnet.Conn) fields {
	findOnce.Do(func() {
		t := reflect.TypeOf(conn)
		if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			return
		}
		remote, ok := t.Elem().FieldByName("remote")
		addr, ok2 := t.Elem().FieldByName("remoteAddr")
		attachment, ok3 := t.Elem().FieldByName("pollAttachment")
		found = fields{
			known: ok && ok2 && ok3 && remote.Type == reflect.TypeFor[unix.Sockaddr]() &&
				addr.Type == reflect.TypeFor[net.Addr]() && attachment.Type == reflect.TypeFor[netpoll.PollAttachment](),
			remote: remote.Offset, remoteAddr: addr.Offset, attachment: attachment.Offset,
		}
	})
	return found
}
