package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// parseFile parses a file of a runbook. kept is what diagnostics need of it:
// its text, and not the tree, which of a long runbook takes many megabytes.
func parseFile(src Source) (body hcl.Body, kept *hcl.File, diags hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig([]byte(src.Text), src.Name, hcl.InitialPos)
	return file.Body, &hcl.File{Bytes: file.Bytes, Nav: outline{src.Name, file.Bytes}}, diags
}

// outline tells a diagnostic which block a place is in. It parses the file once
// more for that: diagnostics are few.
type outline struct {
	name string
	text []byte
}

// ContextString names the block at a place; empty outside of any. The writer of
// diagnostics looks for this method.
func (o outline) ContextString(offset int) string {
	file, _ := hclsyntax.ParseConfig(o.text, o.name, hcl.InitialPos)
	if nav, ok := file.Nav.(interface{ ContextString(offset int) string }); ok {
		return nav.ContextString(offset)
	}
	return ""
}
