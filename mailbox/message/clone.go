package message

// CloneTo returns a view of a copy of the stored value, which it appends to buf: for who needs the view longer than the
// value. Several views may share one buf; it must not be written to while they are used.
func (v *View) CloneTo(buf []byte) (View, []byte) {
	from := len(buf)
	buf = append(buf, v.data...)
	clone := *v
	clone.data = buf[from:len(buf):len(buf)]
	return clone, buf
}
