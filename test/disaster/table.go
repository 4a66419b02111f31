package disaster

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A Table has a row for each disaster that was met.
type Table struct{ rows [][]any }

// Add adds a row.
func (t *Table) Add(o *Outcome) {
	t.rows = append(t.rows, []any{
		o.Disaster.Name, o.Cure(), o.LostWhat(), fmt.Sprintf("%.0f", o.Took.Seconds()),
		len(o.Session.Commands), o.Session.Answers, o.Session.Lines, strings.Count(o.Plans[80], "\n") - 1,
	})
}

// Write writes the table as Markdown, in the order in which rows were added.
func (t *Table) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(tw, "| Disaster\t| Cure\t| Lost\t| Seconds\t| Commands\t| Answers\t| Lines\t| of the plan\t|")
	fmt.Fprintln(tw, "|---\t|---\t|---\t|---:\t|---:\t|---:\t|---:\t|---:\t|")
	for _, r := range t.rows {
		fmt.Fprintf(tw, "| %s\t| %s\t| %s\t| %s\t| %d\t| %d\t| %d\t| %d\t|\n", r...)
	}
	return tw.Flush()
}
