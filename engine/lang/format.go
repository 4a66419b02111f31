package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns a runbook's text in the usual layout. What can't be parsed
// can't be laid out either: the error is an *Error then.
func Format(src Source) (string, error) {
	file, diags := parseConfig([]byte(src.Text), src.Name)
	if diags.HasErrors() {
		book := &Runbook{Files: map[string]*hcl.File{src.Name: file}}
		return "", &Error{Book: book, Diags: inOrder(diags)}
	}
	return string(hclwrite.Format([]byte(src.Text))), nil
}
