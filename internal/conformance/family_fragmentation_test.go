package conformance

import "fmt"

func fragmentationCases() []conversation {
	var cases []conversation
	for name, op := range map[string]byte{"text": opText, "binary": opBinary} {
		got := func(payload string) frame { return frame{op: op, payload: payload} }
		cases = append(cases,
			comesBack(name+" in two", "5.4", first(op, "frag")+last("ment"), got("fragment")),
			comesBack(name+" in three", "5.4", first(op, "a")+more("b")+last("c"), got("abc")),
			comesBack(name+" in two, both empty", "5.4", first(op, "")+last(""), got("")),
			comesBack(name+" in three, all empty", "5.4", first(op, "")+more("")+last(""), got("")),
			comesBack(name+" in three, the middle alone has bytes", "5.4", first(op, "")+more("b")+last(""), got("b")),
			comesBack(name+" in three, the last alone has bytes", "5.4", first(op, "")+more("")+last("c"), got("c")),
			comesBack(name+" in a hundred", "5.4", first(op, "a")+repeat(98, more("b"))+last("c"), got("a"+repeat(98, "b")+"c")),
			comesBack(name+" in two, then a whole one", "5.4", first(op, "a")+last("b")+raw(fin|op, "c"), got("ab"), got("c")),
			comesBack(name+" in two, twice", "5.4", repeat(2, first(op, "a")+last("b")), got("ab"), got("ab")),
			comesBack(name+" with a ping inside", "5.4, 5.5", first(op, "a")+ping("p")+last("b"), gotPong("p"), got("ab")),
			comesBack(name+" with a ping behind every fragment", "5.4, 5.5",
				first(op, "a")+ping("1")+more("b")+ping("2")+last("c")+ping("3"), gotPong("1"), gotPong("2"), got("abc"), gotPong("3")),
			comesBack(name+" with ten pings inside", "5.4, 5.5", first(op, "a")+repeat(10, ping("p"))+last("b"), append(many(10, gotPong("p")), got("ab"))...),
			comesBack(name+" with a pong inside", "5.4, 5.5", first(op, "a")+pong("p")+last("b"), got("ab")),
			comesBack(name+" with a ping of 125 bytes inside", "5.4, 5.5", first(op, filler(200))+ping(filler(125))+last("b"), gotPong(filler(125)), got(filler(200)+"b")),
			fails(name+" inside a "+name, "5.4", 1002, first(op, "a")+raw(fin|op, "b")),
			fails("the beginning of a "+name+" inside a "+name, "5.4", 1002, first(op, "a")+first(op, "b")),
			fails(name+" inside a message, behind a ping", "5.4", 1002, first(op, "a")+ping("p")+raw(fin|op, "b"), gotPong("p")),
			fails("a continuation behind a whole "+name, "5.4", 1002, raw(fin|op, "a")+last("b"), got("a")),
			fails("a continuation behind a fragmented "+name, "5.4", 1002, first(op, "a")+last("b")+last("c"), got("ab")),
			fails("a Close inside a "+name, "5.4, 5.5.1", 1000, first(op, "a")+closing(1000, "")),
			fails("a Close inside a "+name+", behind a ping", "5.4, 5.5.1", 4000, first(op, "a")+ping("p")+closing(4000, ""), gotPong("p")),
		)
	}
	for _, b0 := range []byte{opContinuation, fin | opContinuation} {
		cases = append(cases,
			fails(fmt.Sprintf("continuation %02x as the first frame", b0), "5.4", 1002, raw(b0, "x")),
			fails(fmt.Sprintf("empty continuation %02x as the first frame", b0), "5.4", 1002, raw(b0, "")),
			fails(fmt.Sprintf("continuation %02x behind a ping", b0), "5.4", 1002, ping("p")+raw(b0, "x"), gotPong("p")))
	}
	return append(cases,
		fails("a binary inside a text", "5.4", 1002, first(opText, "a")+data("b")),
		fails("a text inside a binary", "5.4", 1002, first(opBinary, "a")+text("b")),
		conversation{name: "text in 1000 of a byte each", rfc: "5.4", send: first(opText, "a") + repeat(998, more("b")) + last("c"),
			want: []frame{gotText("a" + repeat(998, "b") + "c")}, large: true})
}
