package lang

import (
	"errors"

	"github.com/hashicorp/hcl/v2"

	"runbook/engine"
)

// Advised marks a diagnostic, as its Extra, whose detail ends with a paragraph
// that says what to do.
type Advised struct{}

// Diagnose says where in the runbook a failure of a block belongs: at the
// attribute that err blames, or else at the block's header.
func (c Config) Diagnose(summary string, err error) *hcl.Diagnostic {
	detail := stopped(err.Error())
	var extra any
	if hint := engine.HintOf(err); hint != "" {
		detail += "\n\n" + stopped(hint)
		extra = Advised{}
	}
	d := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: c.Range.Ptr(), Extra: extra}
	var e *engine.Error
	for cause := err; errors.As(cause, &e); cause = e.Err {
		if a := c.Given[e.Attribute]; a != nil {
			d.Subject = a.Range.Ptr()
			break
		}
	}
	return d
}
