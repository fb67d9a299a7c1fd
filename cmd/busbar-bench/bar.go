package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"
)

// bar shows progress on a terminal, and nothing anywhere else. Owned by one goroutine.
type bar struct {
	out   io.Writer // nil: not a terminal
	shown *progressbar.ProgressBar
	phase string
}

func newBar(w io.Writer) *bar {
	if f, ok := w.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			return &bar{out: w}
		}
	}
	return &bar{}
}

// show draws how far a phase is; of is 0 when nobody knows.
func (b *bar) show(phase string, done, of int64) {
	if b.out == nil {
		return
	}
	if phase != b.phase {
		b.clear()
		if of == 0 {
			of = -1 // a spinner
		}
		b.phase = phase
		b.shown = progressbar.NewOptions64(of, progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(phase),
			progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(of > 0),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionThrottle(200*time.Millisecond)) // it must not be what is measured
	}
	_ = b.shown.Set64(done)
}

// clear takes the bar off the screen.
func (b *bar) clear() {
	if b.shown != nil {
		_ = b.shown.Clear()
		b.shown, b.phase = nil, ""
	}
}
