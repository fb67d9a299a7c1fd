package wsproto

// Footprint is how many bytes of memory d's buffer takes, which is at least Held.
func (d *Decoder) Footprint() int {
	if d.buf == nil {
		return 0
	}
	return cap(d.buf.B)
}
