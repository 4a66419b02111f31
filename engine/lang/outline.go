package lang

import (
	"github.com/hashicorp/hcl/v2"
)

// parseFile parses a file of a runbook. kept is what diagnostics need of it:
// its text, and not the tree, which of a long runbook takes many megabytes.
func parseFile(src Source) (body hcl.Body, kept *hcl.File, diags hcl.Diagnostics) {
	file, diags := parseConfig([]byte(src.Text), src.Name)
	return file.Body, &hcl.File{Bytes: file.Bytes, Nav: &outline{name: src.Name, text: file.Bytes}}, diags
}

// outline tells a diagnostic which block a place is in. It parses the file once
// more for that, since there are diagnostics seldom.
type outline struct {
	name string
	text []byte
	nav  any // of the parsed file; nil until it is asked for
}

// ContextString names the block at a place; empty outside of any. The writer of
// diagnostics looks for this method.
func (o *outline) ContextString(offset int) string {
	if o.nav == nil {
		file, _ := parseConfig(o.text, o.name)
		o.nav = file.Nav
	}
	if nav, ok := o.nav.(interface{ ContextString(offset int) string }); ok {
		return nav.ContextString(offset)
	}
	return ""
}
