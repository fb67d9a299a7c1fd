package conformance

import "fmt"

// No extension is agreed here, so every reserved bit fails the connection.
func reservedBitCases() []conversation {
	var cases []conversation
	for rsv := byte(rsv3); rsv <= rsv1|rsv2|rsv3; rsv += rsv3 {
		bits := fmt.Sprintf("RSV %03b", rsv>>4)
		cases = append(cases,
			fails(bits+" on a text", "5.2", 1002, raw(fin|rsv|opText, "x")),
			fails(bits+" on a binary", "5.2", 1002, raw(fin|rsv|opBinary, "x")),
			fails(bits+" on an empty text", "5.2", 1002, raw(fin|rsv|opText, "")),
			fails(bits+" on a fragment", "5.2", 1002, raw(rsv|opText, "x")),
			fails(bits+" on a continuation", "5.2", 1002, first(opText, "a")+raw(fin|rsv|opContinuation, "b")),
			fails(bits+" on a ping", "5.2", 1002, raw(fin|rsv|opPing, "")),
			fails(bits+" on a pong", "5.2", 1002, raw(fin|rsv|opPong, "")),
			fails(bits+" on a close", "5.2", 1002, raw(fin|rsv|opClose, closePayload(1000, ""))),
			fails(bits+" behind a message and a ping", "5.2", 1002, text("a")+ping("p")+raw(fin|rsv|opText, "b"), gotText("a"), gotPong("p")),
			fails(bits+" in the first byte, with nothing behind it", "5.2, 7.1.7", 1002, string([]byte{fin | rsv | opText})),
		)
	}
	return cases
}

func opcodeCases() []conversation {
	var cases []conversation
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		name := fmt.Sprintf("opcode %d", op)
		cases = append(cases,
			fails(name, "5.2", 1002, raw(fin|op, "")),
			fails(name+" with a payload", "5.2", 1002, raw(fin|op, "payload")),
			fails(name+" behind a message", "5.2", 1002, text("a")+raw(fin|op, ""), gotText("a")),
			fails(name+" behind a message and in front of another", "5.2, 7.1.7", 1002, text("a")+raw(fin|op, "x")+text("b"), gotText("a")),
			fails(name+" inside a fragmented message", "5.2", 1002, first(opText, "a")+raw(fin|op, "")+last("b")),
			fails(name+" as a fragment", "5.2", 1002, raw(op, "x")),
			fails(name+", its first byte alone", "5.2, 7.1.7", 1002, string([]byte{fin | op})),
		)
	}
	return cases
}
