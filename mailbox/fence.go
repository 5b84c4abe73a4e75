package mailbox

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// fenceFile lists the bodies that the last Verify found damaged, one number a
// line behind its first one.
const (
	fenceFile  = "damaged"
	fenceFirst = "mailstead damaged bodies 1"

	// maxFenced bounds the list: where more is damaged, the disk is to be replaced.
	maxFenced = 1 << 20
)

// fence keeps damaged bodies from being served: a flipped bit within a body is
// seen by nobody but Verify. It survives restarts; ids of bodies are never
// given twice.
type fence struct {
	bodies atomic.Pointer[map[BodyID]struct{}] // nil for none
}

// check returns ErrDamaged for a body behind the fence.
func (f *fence) check(id BodyID) error {
	bodies := f.bodies.Load()
	if bodies == nil {
		return nil
	}
	if _, damaged := (*bodies)[id]; damaged {
		return fmt.Errorf("%w: body %d does not validate", ErrDamaged, id)
	}
	return nil
}

func (f *fence) set(bodies map[BodyID]struct{}) {
	if len(bodies) == 0 {
		f.bodies.Store(nil)
		return
	}
	f.bodies.Store(&bodies)
}

// load reads the list of the folder. One that cannot be made sense of is only
// told of: the next Verify writes it anew.
func (f *fence) load(on files, dir string) error {
	name := filepath.Join(dir, fenceFile)
	file, err := on.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := on.reader(file)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(text)
	if !lines.Scan() || lines.Text() != fenceFirst {
		return fmt.Errorf("%s: not a list of damaged bodies", name)
	}
	bodies := make(map[BodyID]struct{})
	for lines.Scan() && len(bodies) < maxFenced {
		var id BodyID
		if _, err := fmt.Sscanf(lines.Text(), "%d", &id); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		bodies[id] = struct{}{}
	}
	f.set(bodies)
	return lines.Err()
}

// replace puts up a new fence, durably.
func (f *fence) replace(on files, dir string, bodies map[BodyID]struct{}) error {
	f.set(bodies)
	name := filepath.Join(dir, fenceFile)
	if len(bodies) == 0 {
		if err := on.remove(name); err != nil {
			return err
		}
		return on.SyncDir(dir)
	}
	var text strings.Builder
	fmt.Fprintln(&text, fenceFirst)
	for _, id := range slices.Sorted(maps.Keys(bodies)) {
		fmt.Fprintln(&text, id)
	}
	file, err := on.create(name + ".tmp")
	if err != nil {
		return err
	}
	err = file.Writev([][]byte{[]byte(text.String())}, 0)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := on.Rename(name+".tmp", name); err != nil {
		return err
	}
	return on.SyncDir(dir)
}
