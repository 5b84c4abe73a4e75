package disktest

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// File is an open file; its methods are those of log.File, and some by which
// somebody stands in for a program that has the file open elsewhere.
type File struct {
	d *Disk
	f *file
}

func (h *File) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off >= h.f.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), h.f.size-off))
	h.f.read(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *File) Writev(bufs [][]byte, off int64) error { return h.WriteAs("write", bufs, off) }

// WriteAs is Writev in a moment of its own name.
func (h *File) WriteAs(what string, bufs [][]byte, off int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.step(what, h.f.name); err != nil {
		return err
	}
	if h.d.failWrites != nil {
		return h.d.failWrites
	}
	h.f.counts.Writes++
	for _, b := range bufs {
		if err := h.room(off + int64(len(b))); err != nil {
			return err
		}
		h.f.write(b, off)
		off += int64(len(b))
	}
	return h.d.after()
}

// room reports whether the file can have so many octets. h.d.mu is held.
func (h *File) room(size int64) error {
	if more := size - h.f.size; more > 0 && more > h.d.free() {
		return syscall.ENOSPC
	}
	return nil
}

func (h *File) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.f.size, h.d.after()
}

// WriteBack promises nothing, and a cut keeps any part of what is not synced.
func (h *File) WriteBack(int64, int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.step("write back", h.f.name); err != nil {
		return err
	}
	return h.d.after()
}

func (h *File) Datasync() error { return h.sync("sync", &h.f.counts.Datasyncs) }
func (h *File) Sync() error     { return h.SyncAs("sync") }

// SyncAs is Sync in a moment of its own name.
func (h *File) SyncAs(what string) error { return h.sync(what, &h.f.counts.Syncs) }

func (h *File) sync(what string, count *int) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	do, err := h.d.flushed(what, h.f.name)
	if err == nil && h.d.failSyncs != nil {
		h.f.forget()
		return h.d.failSyncs
	}
	*count++
	if do {
		h.f.flush()
	}
	return err
}

func (h *File) Truncate(size int64) error { return h.TruncateAs("truncate", size) }

// TruncateAs is Truncate in a moment of its own name.
func (h *File) TruncateAs(what string, size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.step(what, h.f.name); err != nil {
		return err
	}
	if err := h.room(size); err != nil {
		return err
	}
	h.f.truncate(size)
	return h.d.after()
}

// Allocate takes the space that Truncate takes: the disk has no holes.
func (h *File) Allocate(size int64) error {
	have, err := h.Size()
	if err != nil {
		return err
	}
	if size < have {
		return fmt.Errorf("allocating %d octets of %d", size, have)
	}
	return h.Truncate(size)
}

// Reserve promises nothing that anybody here depends on.
func (h *File) Reserve(int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.d.after()
}

func (h *File) Close() error { return nil }

// Synced reports whether anything of the file was ever made durable.
func (h *File) Synced() bool {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.f.synced
}

// CopyTo writes what programs see of the file into one of the operating system.
func (h *File) CopyTo(out *os.File) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := out.Truncate(h.f.size); err != nil {
		return err
	}
	for number, p := range h.f.pages {
		if rest := h.f.size - number*pageSize; p.seen != nil && rest > 0 {
			if _, err := out.WriteAt(p.seen[:min(rest, pageSize)], number*pageSize); err != nil {
				return err
			}
		}
	}
	return nil
}
