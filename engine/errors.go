package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is a machine's failure: what happened, where, and what to do now.
// (A user's mistake in a runbook is an hcl.Diagnostic instead.)
type Error struct {
	// Where is the thing it happened to: a path, a unit, an endpoint.
	Where string
	// Err is what happened.
	Err error
	// Hint says what to do now, as a sentence; empty where there is no advice.
	Hint string
	// Attribute names the attribute of the step or data block that is at
	// fault, if one is; the diagnostic then points at it.
	Attribute string
	// Final says that a step's retry block is of no use: what is waited for has
	// been seen to fail.
	Final bool
}

func (e *Error) Error() string { return oneWord(e.Where) + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error without a hint. format takes %w.
func Errorf(where, format string, args ...any) *Error {
	return &Error{Where: where, Err: fmt.Errorf(format, args...)}
}

// WithHint sets what to do now, and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithAttribute sets the attribute at fault, and returns e.
func (e *Error) WithAttribute(name string) *Error {
	e.Attribute = name
	return e
}

// Finally says that no retry helps, and returns e.
func (e *Error) Finally() *Error {
	e.Final = true
	return e
}

// IsFinal reports whether an Error in err's chain is final.
func IsFinal(err error) bool {
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Final {
			return true
		}
	}
	return false
}

// oneWord is the name of a thing, quoted where it isn't what it seems: with an end
// of line in it, it could pass for a line of its own.
func oneWord(name string) string {
	if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return strconv.Quote(name)
	}
	return name
}

// UnknownError says that a fact can't be known before a step has run.
type UnknownError struct{ Step string }

func (e *UnknownError) Error() string { return "known after step " + e.Step }

// HintOf returns the hint of the outermost Error in err's chain that has one.
func HintOf(err error) string {
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Hint != "" {
			return e.Hint
		}
	}
	return ""
}
