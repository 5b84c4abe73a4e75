package wire

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// gate is a client that takes what is written when it is told to.
type gate struct {
	open chan error // what each write ends with
	got  strings.Builder
}

func (g *gate) Write(p []byte) (int, error) {
	if err := <-g.open; err != nil {
		return 0, err
	}
	return g.got.Write(p)
}

func TestWriteBehindKeepsTheOrder(t *testing.T) {
	g := &gate{open: make(chan error, 8)}
	e := NewEncoder(g)
	e.WriteBehind([]byte("one "))
	e.Text("three") // the client has taken nothing yet, and nobody waits for it
	if g.got.Len() > 0 {
		t.Fatal("something was written before the client took it")
	}
	for range 3 {
		g.open <- nil
	}
	e.WriteBehind([]byte("two "))
	if err := e.Flush(); err != nil || g.got.String() != "one two three" {
		t.Fatalf("%q, %v", g.got.String(), err)
	}
}

func TestWriteBehindTellsOfErrors(t *testing.T) {
	g := &gate{open: make(chan error, 8)}
	e := NewEncoder(g)
	e.WriteBehind([]byte("lost"))
	g.open <- io.ErrClosedPipe
	if e.Await(); !errors.Is(e.Err(), io.ErrClosedPipe) {
		t.Fatalf("the error is %v", e.Err())
	}
	e.WriteBehind([]byte("dropped")) // would wait for the client
	if err := e.Text("dropped").Flush(); !errors.Is(err, io.ErrClosedPipe) || g.got.Len() > 0 {
		t.Fatalf("%v, written %q", err, g.got.String())
	}
}

// panics is a writer with a fault.
type panics struct{}

func (panics) Write([]byte) (int, error) { panic("a fault of the writer") }

func TestWriteBehindPanicsInTheSession(t *testing.T) {
	e := NewEncoder(panics{})
	e.WriteBehind([]byte("x"))
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "a fault of the writer") || !strings.Contains(p, "behind_test.go") {
			t.Errorf("recovered %q", p)
		}
	}()
	e.Await()
}
