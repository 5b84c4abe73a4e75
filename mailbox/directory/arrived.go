package directory

import (
	"context"
	"fmt"
	"sync"
)

// arrived is what came to masked addresses and is not written down yet.
type arrived struct {
	mu sync.Mutex
	at map[address]letters
}

func (v *arrived) add(at address, l letters) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.at == nil {
		v.at = map[address]letters{}
	}
	v.at[at] = v.at[at].plus(l)
}

func (v *arrived) of(at address) letters {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at[at]
}

// take is of, and it is somebody else's to write it down.
func (v *arrived) take(at address) letters {
	v.mu.Lock()
	defer v.mu.Unlock()
	l := v.at[at]
	delete(v.at, at)
	return l
}

// all are the addresses for which something is to be written down.
func (v *arrived) all() (list []address) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for at := range v.at {
		list = append(list, at)
	}
	return list
}

// Arrived counts a letter that was taken for masked addresses, those of Route.Masked. It is written down
// by Run, not at once.
func (d *Directory) Arrived(masked []string) {
	for _, text := range masked {
		if at, err := parseAddress(text); err == nil {
			d.arrived.add(at, letters{Letters: 1, LastUse: d.now().UTC()})
		}
	}
}

// keepArrived writes down what came to masked addresses.
func (d *Directory) keepArrived(ctx context.Context) error {
	all := d.arrived.all()
	if len(all) == 0 {
		return nil
	}
	d.change.Lock()
	defer d.change.Unlock()
	var r revision
	taken := map[address]letters{}
	for _, at := range all {
		m, ok := d.names.masked[at]
		l := d.arrived.take(at)
		if ok && d.names.accounts[m.Account] != nil {
			taken[at] = l
			m.letters = m.letters.plus(l)
			r.mask(maskedAddress{at, m})
		}
	}
	if len(r.changes) == 0 {
		return nil
	}
	if err := d.commit(ctx, &r); err != nil {
		for at, l := range taken {
			d.arrived.add(at, l)
		}
		return fmt.Errorf("keep what came to masked addresses: %w", err)
	}
	return nil
}
