package engine

import (
	"context"

	"github.com/zclconf/go-cty/cty"
)

// An Action is a step's work on one host, decoded and ready.
type Action interface {
	// Plan looks, changes nothing, and returns what Apply would change.
	// An empty Change means that the host already is as the step wants it.
	Plan(ctx context.Context, w World) (Change, error)
	// Apply carries c out. The engine has made c durable before, and may call
	// Apply again with the same c after a crash at any instruction, so Apply
	// begins by looking how far an earlier call got. What it reports done must
	// be on disk. It is also called with a Change that is Empty but has
	// Checks.
	Apply(ctx context.Context, c Change, r Reporter) (Result, error)
	// Undo puts back what c recorded, however far Apply got. It too may be
	// called again.
	Undo(ctx context.Context, c Change, r Reporter) error
}

// A Settler is an Action whose work may go on when whoever called Apply is
// gone.
type Settler interface {
	// Settle waits until nothing of it goes on any more. It begins nothing.
	// The engine calls it before it undoes a step in doubt, whatever of the
	// step there is to undo.
	Settle(ctx context.Context, c Change, r Reporter) error
}

// A DataSource reads facts of a host. It changes nothing.
type DataSource interface {
	Read(ctx context.Context, w World) (Result, error)
}

// A Reporter takes what an action has to say while it works.
type Reporter interface {
	// Progress says how far the work is. Calls may come as often as is
	// convenient; the view thins them out.
	Progress(p Progress)
}

// Progress is how far a step is.
type Progress struct {
	// Doing is what is being done or waited for, with its last value where
	// there is one: "copying the snapshot", "etcd is not healthy yet: EOF".
	Doing string `json:"doing"`
	// Done and Total are bytes; both are 0 where there is nothing to count.
	Done  int64 `json:"done,omitempty"`
	Total int64 `json:"total,omitempty"`
}

// Spec describes an action: what the language checks, the reference
// documentation is made from, and the host decodes.
type Spec struct {
	Name       string
	Doc        string // one paragraph; the first sentence is the summary
	Attributes []Attribute
	Results    []Attribute // only Name, Type and Doc count
	Example    string      // a whole step block that validates
	// ReadOnly says that the action never changes its host: it checks or
	// waits.
	ReadOnly bool
	// New returns a pointer to a zero struct whose fields carry `cty:"name"`
	// tags, one for each attribute. Optional attributes without a default are
	// pointers, slices or maps.
	New func() Action
	// Destroys says that the action does damage on purpose: only a runbook that
	// says drill = true may have it as a step, and only an operator who names
	// the host can run that one.
	Destroys bool
	// Asks names the attribute that holds a question to the operator, if the
	// action is one: the engine asks it, as it does an approve block's, and
	// applies the action once somebody has said yes.
	Asks string
	// OneOf names attributes of which a step sets exactly one, or none where it
	// has a postcondition that says all.
	OneOf []string
}

// DataSpec describes a data source, as Spec describes an action.
type DataSpec struct {
	Name       string
	Doc        string
	Attributes []Attribute
	Results    []Attribute
	Example    string
	New        func() DataSource
}

// Attribute is one attribute of an action or data source, or one result.
type Attribute struct {
	Name     string
	Type     cty.Type
	Required bool
	// Default is used where an optional attribute isn't set; cty.NilVal means
	// null.
	Default cty.Value
	Doc     string // a sentence, with the unit where it is a quantity
	// Line says of a result that is a list of objects how an element is told in a
	// line, where nobody asks for all. Its parts are divided by "|", and each is shown
	// where the members that it names in braces say something: "{path}|: {reason}".
	Line string
	// Detail says of a result that it is of use to few, who ask for all.
	Detail bool
	// Check tells what is wrong with a known, non-null value, or nil. The
	// error's text is shown under the source line.
	Check func(cty.Value) error
}
