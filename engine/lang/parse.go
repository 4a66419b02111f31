package lang

import (
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"runbook/engine"
)

var rootSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "runbook", LabelNames: []string{"name"}},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "data", LabelNames: []string{"type", "name"}},
	{Type: "step", LabelNames: []string{"action", "name"}},
	{Type: "output", LabelNames: []string{"name"}},
}}

// Load parses and checks a runbook against what reg can do. It reports all
// mistakes at once, in the order of the file. The Runbook is only usable if
// the diagnostics hold no error, but its Files are always set.
func Load(src *Sources, reg *engine.Registry) (*Runbook, hcl.Diagnostics) {
	main := src.All()[0]
	body, file, diags := parseFile(main)
	rb := &Runbook{Sources: src, broken: map[string]bool{}, needed: map[string]bool{}, Files: map[string]*hcl.File{main.Name: file}}
	if diags.HasErrors() {
		return rb, few(inOrder(diags))
	}
	p := &parser{rb: rb, reg: reg, text: main.Text, trail: []string{main.Name}, loaded: &loaded{}}
	p.root(body)
	return rb, few(inOrder(append(diags, p.diags...)))
}

// mostMistakes is how many of them are told at once. Looking for more, in a file
// that is no runbook, could take for ever.
const mostMistakes = 50

// few are the first mistakes, and how many more there are.
func few(diags hcl.Diagnostics) hcl.Diagnostics {
	if len(diags) <= mostMistakes {
		return diags
	}
	return append(diags[:mostMistakes:mostMistakes], &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: "More mistakes", Detail: "There are more than these. Put them right first, and check again.",
	})
}

// inOrder sorts diagnostics by position, so that the same file gives the same
// output every time.
func inOrder(diags hcl.Diagnostics) hcl.Diagnostics {
	sort.SliceStable(diags, func(i, j int) bool {
		a, b := diags[i].Subject, diags[j].Subject
		if a == nil || b == nil {
			return b != nil
		}
		if a.Filename != b.Filename {
			return a.Filename < b.Filename
		}
		return a.Start.Byte < b.Start.Byte
	})
	return diags
}

// parser collects the blocks of one runbook and all that is wrong with them.
type parser struct {
	rb    *Runbook
	reg   *engine.Registry
	text  string // of the file
	diags hcl.Diagnostics
	trail []string // the files that lead here, each a step of the one before
	*loaded
}

// loaded is what other runbooks a runbook has brought in so far.
type loaded struct{ books, bytes int }

const (
	// mostBooks is how many runbooks may be carried out within one.
	mostBooks = 1000
	// mostBlocks is how many blocks, or local values, a file may have. They are
	// compared with each other.
	mostBlocks = 20_000
)

// enough reports whether there is no use in looking for more mistakes.
func (p *parser) enough() bool { return len(p.diags) > mostMistakes }

func (p *parser) add(diags hcl.Diagnostics) { p.diags = append(p.diags, diags...) }

func (p *parser) errorf(at hcl.Range, summary, detail string, args ...any) {
	p.diags = append(p.diags, &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf(detail, args...),
		Subject:  at.Ptr(),
	})
}

func (p *parser) root(body hcl.Body) {
	content, diags := body.Content(rootSchema)
	p.add(diags)
	if n := len(content.Blocks); n > mostBlocks {
		p.errorf(content.Blocks[mostBlocks].DefRange, "Too many blocks", "A file may have %d, and this one has %d. A step with for_each is carried out many times.", mostBlocks, n)
		return
	}
	for _, b := range content.Blocks {
		if p.enough() {
			return // what comes is not there for the rest to refer to
		}
		if len(b.Labels) > 0 {
			last := len(b.Labels) - 1
			if name := b.Labels[last]; b.Type != "runbook" && !hclsyntax.ValidIdentifier(name) {
				p.errorf(b.LabelRanges[last], "Invalid name", "%q can't be referred to: a name has letters, digits, underscores and dashes, and begins with a letter or an underscore.", name)
			}
		}
		switch b.Type {
		case "runbook":
			p.runbook(b)
		case "variable":
			p.variable(b)
		case "locals":
			p.locals(b)
		case "data":
			p.data(b)
		case "step":
			p.step(b)
		case "output":
			p.output(b)
		}
	}
	if !p.rb.named() && !diags.HasErrors() {
		p.errorf(body.MissingItemRange(), "Missing runbook block", `A file begins with a block that names it: runbook "NAME" { … }.`)
	}
	p.add(checkExpressions(p.rb))
}

// unique reports a second declaration of the same thing.
func (p *parser) unique(what string, at hcl.Range, first *hcl.Range) bool {
	if first == nil {
		return true
	}
	p.errorf(at, "Declared twice", "%s is declared already at %s.", what, first)
	return false
}

func (p *parser) runbook(b *hcl.Block) {
	if p.rb.named() {
		p.unique("The runbook", b.DefRange, &p.rb.Range)
		return
	}
	p.rb.Name, p.rb.Range = b.Labels[0], b.DefRange
	if !validRunbookName(p.rb.Name) {
		p.errorf(b.LabelRanges[0], "Invalid runbook name", "A runbook's name has 1 to 64 letters, digits, dashes, dots and underscores and begins with a letter: it becomes part of file names.")
	}
	content, diags := b.Body.Content(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "description"}, {Name: "time_budget"}, {Name: "on_failure"}, {Name: "restartable"}, {Name: "drill"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "goal"}, {Type: "summary"}, {Type: "precondition"}},
	})
	p.add(diags)
	p.rb.Description = p.literalString(content.Attributes["description"])
	p.rb.OnFailure = p.onFailure(content.Attributes["on_failure"])
	p.rb.Restartable = p.literalBool(content.Attributes["restartable"])
	p.rb.Drill = p.literalBool(content.Attributes["drill"])
	p.rb.TimeBudget = p.literalDuration(content.Attributes["time_budget"])
	for _, inner := range content.Blocks {
		switch inner.Type {
		case "summary":
			p.summary(inner)
		case "precondition":
			p.rb.Preconditions = append(p.rb.Preconditions, p.check(inner, "error_message"))
		default:
			p.goal(inner)
		}
	}
}

func (p *parser) goal(b *hcl.Block) {
	if p.rb.Goal != nil {
		p.unique("The goal", b.DefRange, &p.rb.Goal.Range)
		return
	}
	p.rb.Goal = p.check(b, "message")
}

// named reports whether there is a block that names the runbook.
func (r *Runbook) named() bool { return r.Range.Filename != "" }

func validRunbookName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		other := r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return true
}

func (p *parser) locals(b *hcl.Block) {
	attrs, diags := b.Body.JustAttributes()
	p.add(diags)
	if n := len(attrs) + len(p.rb.Locals); n > mostBlocks {
		p.errorf(b.DefRange, "Too many local values", "A file may have %d. Make maps of them.", mostBlocks)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		a := attrs[name]
		if old := p.rb.local(name); old != nil {
			p.unique("local."+name, a.NameRange, &old.Range)
			continue
		}
		p.rb.Locals = append(p.rb.Locals, &Local{Name: name, Expr: a.Expr, Range: a.NameRange})
	}
}

func (p *parser) data(b *hcl.Block) {
	d := &Data{Type: b.Labels[0], Name: b.Labels[1]}
	if old := p.rb.DataSource(d.Type, d.Name); old != nil {
		p.unique(fmt.Sprintf("data.%s.%s", d.Type, d.Name), b.DefRange, &old.Config.Range)
		return
	}
	spec, ok := p.reg.DataSource(d.Type)
	if !ok {
		p.rb.broken["data."+d.Type+"."+d.Name] = true
		p.errorf(b.LabelRanges[0], "Unknown data source", "There is no data source %q.%s `runbook explain` lists them all.", d.Type, suggest(d.Type, names(p.reg.Data, func(s engine.DataSpec) string { return s.Name })))
		return
	}
	d.Spec = spec
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: attributeSchema(spec.Attributes)})
	p.add(diags)
	d.Config = Config{Declared: spec.Attributes, Given: content.Attributes, Range: b.DefRange}
	p.rb.Data = append(p.rb.Data, d)
}

func (p *parser) output(b *hcl.Block) {
	o := &Output{Name: b.Labels[0], Range: b.DefRange}
	for _, old := range p.rb.Outputs {
		if old.Name == o.Name {
			p.unique("output."+o.Name, b.DefRange, &old.Range)
			return
		}
	}
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "value", Required: true}, {Name: "description"}, {Name: "sensitive"},
	}})
	p.add(diags)
	o.Description = p.literalString(content.Attributes["description"])
	o.Sensitive = p.literalBool(content.Attributes["sensitive"])
	o.Expr = exprOf(content.Attributes["value"])
	p.rb.Outputs = append(p.rb.Outputs, o)
}

func attributeSchema(declared []engine.Attribute) []hcl.AttributeSchema {
	schema := make([]hcl.AttributeSchema, len(declared))
	for i, a := range declared {
		schema[i] = hcl.AttributeSchema{Name: a.Name, Required: a.Required}
	}
	return schema
}
