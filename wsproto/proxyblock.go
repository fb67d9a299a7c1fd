package wsproto

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// A header of version 2 is a block of bytes: 16 that say what follows and how much, the
// addresses, and TLVs (2.2).
const (
	proxyFixed   = 16
	proxyVersion = 2
)

const (
	proxyLocal = iota // commands, in the low half of byte 12
	proxyProxy
)

const (
	proxyUnspec = iota // families, in the high half of byte 13
	proxyInet
	proxyInet6
	proxyUnix
)

const (
	proxyStream = 1 // transports, in the low half of byte 13
	proxyDgram  = 2
)

// proxyAddresses are the bytes that the addresses and ports of each family take.
var proxyAddresses = [...]int{proxyInet: 12, proxyInet6: 36, proxyUnix: 216}

// parseProxyBlock reads a header of version 2.
func parseProxyBlock(p []byte) (source netip.Addr, n int, err error) {
	at := len(proxySignature)
	if len(p) > at && (p[at]>>4 != proxyVersion || p[at]&0xf > proxyProxy) {
		return source, 0, errProxyCommand
	}
	if len(p) < proxyFixed {
		return source, 0, nil
	}
	n = proxyFixed + int(binary.BigEndian.Uint16(p[at+2:]))
	if n > MaxProxyHeader {
		return source, 0, errProxyLong
	}
	if len(p) < n {
		return source, 0, nil
	}
	if p[at]&0xf == proxyLocal { // 2.2: all of the block is discarded, the family is ignored
		return source, n, nil
	}
	if source, err = proxySource(p[:n]); err != nil {
		return netip.Addr{}, 0, err
	}
	return source, n, nil
}

// proxySource is the source address in a whole block.
func proxySource(p []byte) (source netip.Addr, err error) {
	family, transport := int(p[13]>>4), p[13]&0xf
	if family > proxyUnix || transport > proxyDgram {
		return source, errProxyFamily
	}
	if family == proxyUnspec { // where its TLVs would begin isn't known
		return source, nil
	}
	addresses := proxyFixed + proxyAddresses[family]
	if len(p) < addresses {
		return source, errProxyShort
	}
	if err := checkTLVs(p, addresses); err != nil {
		return source, err
	}
	switch {
	case transport != proxyStream: // 2.2: what isn't supported is taken for unspecified
	case family == proxyInet:
		source = netip.AddrFrom4([4]byte(p[proxyFixed:]))
	case family == proxyInet6:
		source = netip.AddrFrom16([16]byte(p[proxyFixed:])).Unmap()
	}
	return source, nil
}

const (
	tlvHeader = 3
	tlvCRC32C = 0x03
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkTLVs steps over the TLVs of header p from index at on. A checksum among them has to
// be the header's (2.2.3).
func checkTLVs(p []byte, at int) error {
	checksum := 0 // where it stands
	for at < len(p) {
		if len(p)-at < tlvHeader {
			return errProxyTLV
		}
		kind, size := p[at], int(binary.BigEndian.Uint16(p[at+1:]))
		if at += tlvHeader; size > len(p)-at {
			return errProxyTLV
		}
		if kind == tlvCRC32C {
			if size != crc32.Size || checksum != 0 { // which of two would have been zero for the other?
				return errProxyChecksum
			}
			checksum = at
		}
		at += size
	}
	if checksum != 0 && binary.BigEndian.Uint32(p[checksum:]) != headerChecksum(p, checksum) {
		return errProxyChecksum
	}
	return nil
}

var noChecksum [crc32.Size]byte

// headerChecksum is the CRC32c of a header with zeros where the checksum stands.
func headerChecksum(p []byte, at int) uint32 {
	sum := crc32.Update(0, castagnoli, p[:at])
	sum = crc32.Update(sum, castagnoli, noChecksum[:])
	return crc32.Update(sum, castagnoli, p[at+len(noChecksum):])
}
