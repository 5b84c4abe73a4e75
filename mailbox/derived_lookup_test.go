package mailbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIndexesInAnyOrder asks for the indexes of bodies in many orders: of some there are
// none, some are asked for twice.
func TestIndexesInAnyOrder(t *testing.T) {
	d := newDisk(t)
	has := func(id BodyID) bool { return id > 0 && id < 2000 && id%7 != 3 && (id < 500 || id > 520) }
	var entries []derivedEntry
	for id := range BodyID(2000) {
		if has(id) {
			entries = append(entries, derivedEntry{Body: id, Value: fmt.Append(nil, id)})
		}
	}
	if err := d.applyDerived(entries, 1); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var bodies []BodyID
		for id := rng.Uint64N(2100); len(bodies) < 200; id += 1 + rng.Uint64N(3)*rng.Uint64N(6) {
			bodies = append(bodies, BodyID(id%2100))
		}
		for from := range len(bodies) - 16 { // as of several connections at once
			if rng.IntN(4) > 0 {
				to := from + rng.IntN(16)
				bodies[from], bodies[to] = bodies[to], bodies[from]
			}
		}
		if rng.IntN(10) == 0 {
			slices.Reverse(bodies)
		}
		bodies = append(bodies, nowhere, bodies[0], bodies[0])
		next := 0
		err := d.indexes(bodies, func(i int, value []byte) error {
			if want := fmt.Append(nil, bodies[i]); i != next || has(bodies[i]) != (value != nil) || value != nil && string(value) != string(want) {
				t.Fatalf("index %d of body %d: %q", i, bodies[i], value)
			}
			next++
			return nil
		})
		if err != nil || next != len(bodies) {
			t.Fatalf("%d of %d shown: %v", next, len(bodies), err)
		}
	}
}
