package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// format is how a command prints what it found.
type format struct {
	JSON bool `name:"json" help:"Print one JSON array."`
}

// print writes rows as one JSON array, or as a table: the heads, then the
// cells of each row.
func print[R any](w io.Writer, f format, rows []R, heads []string, cells func(R) []any) error {
	if f.JSON {
		if rows == nil {
			rows = []R{}
		}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	if len(rows) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heads, "\t"))
	for _, r := range rows {
		for i, c := range cells(r) {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, c)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
