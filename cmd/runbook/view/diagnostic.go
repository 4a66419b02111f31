package view

import (
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// diagnostic is what is wrong, for programs.
type diagnostic struct {
	Severity string      `json:"severity"`
	Summary  string      `json:"summary"`
	Detail   string      `json:"detail,omitempty"`
	Hint     string      `json:"hint,omitempty"`
	File     string      `json:"file,omitempty"`
	Range    *jsonExtent `json:"range,omitempty"`
}

// jsonExtent is a range in a file. Lines and columns count from 1, bytes from 0.
type jsonExtent struct {
	Start jsonPos `json:"start"`
	End   jsonPos `json:"end"`
}

type jsonPos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

const lockedHint = "Wait for it to end. If it is stuck, end that process: the lock goes with it, and `runbook resume` goes on"

// diagnosticsOf takes an error apart. Being stopped by request is none.
func diagnosticsOf(err error) []diagnostic {
	var book *lang.Error
	var failure *run.Failure
	var locked *journal.LockedError
	switch {
	case errors.As(err, &book):
		return hclDiagnostics(book.Diags)
	case errors.As(err, &failure):
		return hclDiagnostics(hcl.Diagnostics{failure.Diag})
	case errors.Is(err, run.ErrInterrupted), errors.Is(err, run.ErrWaiting):
		return nil
	case errors.As(err, &locked):
		return []diagnostic{plainDiagnostic(locked, lockedHint)}
	}
	return []diagnostic{plainDiagnostic(err, engine.HintOf(err))}
}

func plainDiagnostic(err error, hint string) diagnostic {
	summary, detail, _ := strings.Cut(err.Error(), "\n")
	return diagnostic{Severity: "error", Summary: summary, Detail: detail, Hint: hint}
}

func hclDiagnostics(diags hcl.Diagnostics) []diagnostic {
	var out []diagnostic
	for _, d := range diags {
		one := diagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			one.Severity = "warning"
		}
		if at := strings.LastIndex(d.Detail, "\n\n"); d.Extra == (lang.Advised{}) && at > 0 {
			one.Detail, one.Hint = d.Detail[:at], d.Detail[at+2:]
		}
		if r := d.Subject; r != nil {
			one.File, one.Range = r.Filename, &jsonExtent{Start: jsonPos(r.Start), End: jsonPos(r.End)}
		}
		out = append(out, one)
	}
	return out
}
