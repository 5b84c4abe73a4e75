package mailbox

// keepFiles has segments, large bodies' files and checkpoints stay where they
// are until release is called: for hard-linking all that belongs together. It
// is for seconds; what would have been removed meanwhile goes later. While it is
// held, a checkpoint can be made, and the log grows as ever.
func (s *Store) keepFiles() (release func()) {
	s.disk.keeping.RLock()
	return s.disk.keeping.RUnlock
}

// removeFiles runs remove unless files are being kept, and says whether it did.
func (s *Store) removeFiles(remove func() error) (done bool, err error) {
	if !s.disk.keeping.TryLock() {
		return false, nil
	}
	defer s.disk.keeping.Unlock()
	return true, remove()
}
