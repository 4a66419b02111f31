package engine

import (
	"encoding/json"
	"slices"
)

// Change is what one step will do to one host, as plain data. It is the line
// in the plan, the intent in the journal, the thing that is compared for
// drift, and what undo works from.
//
// Everything an action has to choose (a cluster token, a staging name) is
// chosen in Plan and recorded here, so that Apply called again chooses the
// same.
type Change struct {
	// Items are the differences, one a line in the plan. No items means that
	// the host already is as the step wants it.
	Items []Item `json:"items,omitempty"`
	// Checks are what Apply will verify or wait for without changing anything,
	// each a phrase such as "https://10.0.0.1:2379 is healthy".
	Checks []string `json:"checks,omitempty"`
	// Effects are the facts that will hold afterwards. Later steps are planned
	// against them.
	Effects []Effect `json:"effects,omitempty"`
	// Results are those results of the step that are known before it runs.
	// Later steps see the others as unknown while planning.
	Results Result `json:"results,omitempty"`
	// Kept names the paths at which the step keeps what it replaces.
	Kept []string `json:"kept,omitempty"`
	// UndoKept likewise names the paths at which Undo keeps what it takes out.
	UndoKept []string `json:"undo_kept,omitempty"`
	// UndoNote says what Undo takes away that was written after the step, and where
	// it goes, in a sentence; empty where there is nothing to say beside the items.
	UndoNote string `json:"undo_note,omitempty"`
	// Irreversible says why the step can't be undone; empty if it can.
	Irreversible string `json:"irreversible,omitempty"`
	// Unpredictable says why nobody can tell beforehand what the step will
	// change, nor afterwards whether it has: a command without a probe, a
	// request without a key. If such a step is in doubt, the operator is asked.
	Unpredictable string `json:"unpredictable,omitempty"`
	// Witnessed says that a record of the action's own tells whether the step
	// was begun: where the same Change is planned again, it wasn't, and nobody
	// has to be asked.
	Witnessed bool `json:"witnessed,omitempty"`
	// Repeats says that the same Change may be planned whether or not the step
	// has been carried out: a restart, a request. A plan then doesn't tell how
	// far a step in doubt had got.
	Repeats bool `json:"repeats,omitempty"`
	// Data is the action's own record: its choices and what undo needs.
	Data json.RawMessage `json:"data,omitempty"`
}

// Item is one difference on the host.
type Item struct {
	// Target is what changes: an absolute path, or "unit NAME".
	Target string `json:"target"`
	// Attribute is the aspect that changes ("owner", "state"); empty if the
	// target as a whole does.
	Attribute string `json:"attribute,omitempty"`
	Before    string `json:"before"`
	After     string `json:"after"`
	// Note is shown beside the item and not compared for drift: a size, a sub
	// state, whatever may move by itself between plan and run.
	Note string `json:"note,omitempty"`
	// Diff is the difference of two texts in unified format, for people; Before
	// and After then name the contents by their digests. Not compared either.
	Diff string `json:"diff,omitempty"`
}

// Empty reports whether applying c would leave the host as it is.
func (c Change) Empty() bool { return len(c.Items) == 0 }

// Bytes is how much of the file systems' free space c takes.
func (c Change) Bytes() int64 {
	var n int64
	for _, e := range c.Effects {
		if e.Copied != nil {
			n += e.Copied.Bytes
		}
		if e.Created != nil {
			n += e.Created.Bytes
		}
	}
	return n
}

// SameAs reports whether c and o make the same differences. Notes and the
// actions' own records are not compared, nor by which names they keep what they
// replace: which of these are free depends on what earlier steps have come to.
func (c Change) SameAs(o Change) bool {
	if len(c.Items) != len(o.Items) {
		return false
	}
	for i, a := range c.Items {
		b := o.Items[i]
		if k := slices.Index(c.Kept, a.Target); k >= 0 && k == slices.Index(o.Kept, b.Target) {
			a.Target = b.Target
		}
		a.Note, b.Note = "", ""
		a.Diff, b.Diff = "", ""
		if a != b {
			return false
		}
	}
	return true
}

// SetData records v as c's own record. v must be encodable as JSON, which a
// plain struct always is.
func (c *Change) SetData(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return Errorf("change", "encoding the action's record: %w", err)
	}
	c.Data = data
	return nil
}

// GetData decodes what SetData recorded into v.
func (c Change) GetData(v any) error {
	if err := json.Unmarshal(c.Data, v); err != nil {
		return Errorf("change", "decoding the action's record: %w", err)
	}
	return nil
}

// Result is what a step or a data source hands to later expressions, by
// result name. Values are what encoding/json makes of them; their types are
// declared in the Spec.
type Result map[string]any
