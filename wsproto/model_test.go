package wsproto

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// conversation makes up a stream of valid messages, fragmented at random and
// with control frames in between, and says what must come out of it.
func conversation(random *rand.Rand, messages int) (stream []byte, want []string) {
	for range messages {
		op := []ws.OpCode{ws.OpText, ws.OpBinary, ws.OpPing, ws.OpPong}[random.IntN(4)]
		payload := somePayload(random, op)
		left, next := payload, op
		for !op.IsControl() && random.IntN(3) > 0 {
			cut := random.IntN(len(left) + 1) // in the middle of a rune, too
			stream = append(stream, clientFrame(false, next, left[:cut])...)
			left, next = left[cut:], ws.OpContinuation
			if random.IntN(2) == 0 {
				ping := somePayload(random, ws.OpPing)
				stream = append(stream, clientFrame(true, ws.OpPing, ping)...)
				want = append(want, event(ws.OpPing, ping))
			}
		}
		stream = append(stream, clientFrame(true, next, left)...)
		want = append(want, event(op, payload))
	}
	return stream, append(want, atRest)
}

func somePayload(random *rand.Rand, op ws.OpCode) string {
	var b strings.Builder
	for range random.IntN([]int{4, 25, 300}[random.IntN(3)]) {
		b.WriteRune([]rune{'a', 'é', '€', '🚌', '\U0010ffff', '\ufffd', 0}[random.IntN(7)])
	}
	if s := b.String(); !op.IsControl() || len(s) <= maxControl {
		return s
	}
	return "too long for a control frame"
}

func TestDecodeConversations(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			stream, want := conversation(rand.New(rand.NewPCG(seed, 7)), 12)
			expectAnySplit(t, stream, 1<<16, want)
		})
	}
}

// Whatever a conversation is damaged by, every split of it ends the same way.
func TestDecodeDamagedConversations(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 8))
		stream, _ := conversation(random, 6)
		for range 1 + random.IntN(3) {
			stream[random.IntN(len(stream))] ^= 1 << random.IntN(8)
		}
		maxMessage := random.IntN(600)
		want := whole(stream, maxMessage)
		expectEvents(t, fmt.Sprintf("seed %d byte by byte", seed), perByte(stream, maxMessage), want)
		expectEvents(t, fmt.Sprintf("seed %d in random pieces", seed),
			decodeIn(stream, maxMessage, func() int { return random.IntN(40) }), want)
	}
}
