package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// bbolt reads its file through a mapping and can end the process on a damaged
// one: by a panic in a goroutine of its own, or by SIGBUS behind the end of a
// cut file. So a database that may be damaged is tested in a child process.

const (
	childEnvironment = "MAILSTEAD_CHECK_DATABASE" // the file to be checked
	childGreeting    = "mailstead checks a database"
	childDamaged     = 3 // exit status: read, and damaged

	// childWords bounds what is kept of the child's output, in bytes.
	childWords = 4 << 10
)

// errNoChild says that this program's main does not call RunChildCheck, so the
// database was not tested.
var errNoChild = errors.New("mailbox: the program cannot check a database in a child process")

// RunChildCheck must be the first thing main does. In the child process that a
// start after an unfinished one makes, it checks the database and ends the
// process; in any other it returns at once.
func RunChildCheck() {
	path := os.Getenv(childEnvironment)
	if path == "" {
		return
	}
	fmt.Println(childGreeting)
	if err := checkFile(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(childDamaged)
	}
	os.Exit(0)
}

// checkFile reads a file nobody has open for writing to its end, which tells
// of pages that the disk does not give, and runs bbolt's check and that of the content.
func checkFile(path string) error {
	if err := readAll(path); err != nil {
		return err
	}
	if err := checkPages(path, math.MaxInt64); err != nil {
		return err
	}
	o := databaseOptions(true)
	o.PreLoadFreelist = true // as opening for writing will
	db, err := files{log.OS()}.openBolt(path, o)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		var problems []error
		for err := range tx.Check() {
			if len(problems) < maxProblems {
				problems = append(problems, err)
			}
		}
		if len(problems) == 0 { // a broken tree must not be walked
			problems = checkContent(tx)
		}
		return errors.Join(problems...)
	})
	return errors.Join(err, db.Close())
}

func readAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}

// checkInChild checks the page structure of the database file in a child
// process. A file that is not there is whole. The error wraps errDatabase when
// the file is damaged, and errNoChild when nothing could be found out.
func checkInChild(ctx context.Context, path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if os.Getenv(childEnvironment) != "" { // the child itself got here: its main did not call RunChildCheck
		return errNoChild
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%w: %w", errNoChild, err)
	}
	child := exec.CommandContext(ctx, program)
	child.Env = append(os.Environ(), childEnvironment+"="+path)
	var out, words firstBytes
	child.Stdout, child.Stderr = &out, &words
	err = child.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("checking %s: %w", path, ctx.Err())
	case !strings.HasPrefix(out.String(), childGreeting+"\n"):
		return errors.Join(errNoChild, err)
	case err != nil:
		return fmt.Errorf("%w: %s: %w: %s", errDatabase, path, err, strings.TrimSpace(words.String()))
	}
	return nil
}

// firstBytes keeps the first childWords bytes written to it.
type firstBytes struct{ bytes.Buffer }

func (b *firstBytes) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), childWords-b.Len())])
	return len(p), nil
}
