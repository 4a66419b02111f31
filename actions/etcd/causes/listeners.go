package causes

import (
	"encoding/binary"
	"net"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// listener is a socket that listens for connections.
type listener struct {
	ip     net.IP
	port   int
	inode  uint32
	cgroup uint64 // of whoever made it; 0 where the kernel doesn't tell
}

// The parts of the kernel's answers that matter here: struct inet_diag_msg and
// its attribute INET_DIAG_CGROUP_ID.
const (
	sockDiagByFamily = 20
	tcpListen        = 10
	requestSize      = 56
	messageSize      = 72
	attributeCgroup  = 21
)

// listening asks the kernel for the TCP sockets that listen. Where it doesn't
// tell there are none.
func listening() []listener {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil
	}
	defer conn.Close() // only asked
	if conn.SetDeadline(time.Now().Add(within)) != nil {
		return nil
	}
	var all []listener
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		request := make([]byte, requestSize)
		request[0], request[1] = family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(request[4:], 1<<tcpListen)
		answers, err := conn.Execute(netlink.Message{
			Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump}, Data: request,
		})
		if err != nil {
			continue // a kernel without IPv6
		}
		for _, answer := range answers {
			if len(answer.Data) >= messageSize {
				all = append(all, listenerOf(answer.Data))
			}
		}
	}
	return all
}

func listenerOf(data []byte) listener {
	size := net.IPv4len
	if data[0] == unix.AF_INET6 {
		size = net.IPv6len
	}
	at := listener{
		port:  int(binary.BigEndian.Uint16(data[4:])),
		ip:    net.IP(data[8 : 8+size]),
		inode: binary.NativeEndian.Uint32(data[68:]),
	}
	attributes, err := netlink.NewAttributeDecoder(data[messageSize:])
	if err != nil {
		return at
	}
	for attributes.Next() {
		if attributes.Type() == attributeCgroup {
			at.cgroup = attributes.Uint64()
		}
	}
	return at
}
