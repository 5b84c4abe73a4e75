package mailbox

import (
	"errors"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"unsafe"

	"go.etcd.io/bbolt"
)

// TestFailedCommitIsMadeAgain: after a commit that the disk failed, state.db is
// made again, whatever it looks like: what the kernel shows of it may not be
// what the disk has.
func TestFailedCommitIsMadeAgain(t *testing.T) {
	filled, a := fillStore(t)
	closeStore(t, filled)
	var told error
	o := testOptions(t)
	o.Fatal = func(err error) { told = errors.Join(told, err) }
	s, err := Open(filled.dir, o)
	if err != nil {
		t.Fatal(err)
	}
	failWrites(s.disk.state.bolt.Load(), syscall.EIO)
	if err := s.Change(t.Context(), RoomChange{Room: "r", Key: "late", Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := s.apply(); !errors.Is(err, syscall.EIO) || !errors.Is(told, syscall.EIO) {
		t.Fatalf("the commit: %v, told %v", err, told)
	}
	dir := t.TempDir()
	if err := copyFolder(dir, s.dir); err != nil {
		t.Fatal(err)
	}
	if err := s.closeFiles(); err != nil {
		t.Fatal(err)
	}
	forgetKey(t, filepath.Join(dir, stateFile), "k")
	next := openStore(t, dir)
	expectFilled(t, next, a)
	if _, ok, err := next.Room("r").Get("late"); err != nil || !ok {
		t.Errorf("what was acknowledged before the failed commit: %v, %v", ok, err)
	}
	if there, err := next.files.exists(filepath.Join(dir, failedFile)); err != nil || there {
		t.Errorf("the mark is there: %v, %v", there, err)
	}
}

// failWrites has every write of a database fail.
func failWrites(db *bbolt.DB, err error) {
	v := reflect.ValueOf(db).Elem()
	hook := (*func([]byte, int64) (int, error))(unsafe.Pointer(v.FieldByName("ops").FieldByName("writeAt").UnsafeAddr()))
	*hook = func([]byte, int64) (int, error) { return 0, err }
}

// forgetKey takes a key of room "r" out of a database that nobody has open.
func forgetKey(t *testing.T, path, key string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, databaseOptions(false))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketRooms).Bucket([]byte("r")).Delete([]byte(key))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
