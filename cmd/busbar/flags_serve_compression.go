package main

import "github.com/busbar-ws/busbar/eventloop"

func declareCompression(t *flagTable, cfg *Config) {
	t.Choice(&cfg.Compression, "compression", compressionOff, []string{compressionOff, compressionOut, compressionOn},
		"permessage-deflate for clients that offer it: none; of what is sent (out), where a client's "+
			"compressed message may have 4KiB inflated; or both ways, up to -max-message-in (on)")
	t.Size(&cfg.CompressionThreshold, "compression-threshold", eventloop.DefaultCompressionThreshold, 1, gib,
		"messages shorter than that are sent uncompressed")
}

// Values of -compression.
const (
	compressionOff = "off"
	compressionOut = "out"
	compressionOn  = "on"
)

// compression is what the event loops know the flag's value by.
func (cfg *Config) compression() eventloop.Compression {
	switch cfg.Compression {
	case compressionOut:
		return eventloop.CompressOut
	case compressionOn:
		return eventloop.CompressOn
	}
	return eventloop.CompressOff
}
