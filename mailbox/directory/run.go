package directory

import (
	"context"
	"time"
)

// notesEvery is how often what nobody waits for is written down.
const notesEvery = time.Minute

// Run writes down what was only noted, each minute and when ctx ends: what came to masked addresses.
func (d *Directory) Run(ctx context.Context) {
	tick := time.NewTicker(notesEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		d.keepNotes(context.WithoutCancel(ctx))
	}
}

// keepNotes writes down what there is. What cannot be written is tried again with the next.
func (d *Directory) keepNotes(ctx context.Context) {
	if err := d.keepArrived(ctx); err != nil {
		d.log.Warn("directory: notes cannot be written; mail goes on", "err", err)
	}
}
