package message

import (
	"strings"
	"testing"
)

func relayCases() map[string][]byte {
	return map[string][]byte{
		"small":   []byte(`{"type":"presence","event":"cursor","x":103.25,"y":88,"from":"u"}`),
		"4KiB":    []byte(`{"type":"topic","topic":"room/1","data":{"text":"` + strings.Repeat("lorem ipsum ", 340) + `"}}`),
		"escapes": []byte(`{"type":"topic","topic":"r\u00f6om","fr\u006fm":"u","data":1}`),
	}
}

func BenchmarkParse(b *testing.B) {
	for name, message := range relayCases() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				if _, ok := Parse(message); !ok {
					b.Fatal("not parsed")
				}
			}
		})
	}
}

func BenchmarkStampFrom(b *testing.B) {
	for name, message := range relayCases() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = StampFrom(dst[:0], message, "user_17"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
