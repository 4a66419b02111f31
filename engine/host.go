package engine

import (
	"context"
	"encoding/json"
)

// A Host is a machine that steps work on. Only data crosses this boundary, so
// a Host may be this process or an agent at the far end of a connection.
//
// Errors that cross it are *Error or *UnknownError, or wrap one.
type Host interface {
	// Name is the machine's name, for people.
	Name() string
	// Plan plans a step under the effects of the steps before it.
	Plan(ctx context.Context, s StepRequest) (Change, error)
	// Apply and Undo are the action's, on the host as it is.
	Apply(ctx context.Context, s StepRequest, c Change, r Reporter) (Result, error)
	Undo(ctx context.Context, s StepRequest, c Change, r Reporter) error
	// Settle is that of an action that is a Settler, and nothing for any other.
	Settle(ctx context.Context, s StepRequest, c Change, r Reporter) error
	// Read reads a data source.
	Read(ctx context.Context, d DataRequest) (Result, error)
	// Discard deletes for good what a run kept at path, with all below it. It
	// refuses a path whose last element doesn't carry the run's ID.
	Discard(ctx context.Context, run, path string) error
	// Stat and Unit read a fact under effects. With hash set, Stat also
	// computes the SHA-256 of a regular file.
	Stat(ctx context.Context, path string, hash bool, under []Effect) (PathFact, error)
	Unit(ctx context.Context, name string, under []Effect) (UnitFact, error)
}

// StepRequest is a step as it crosses to a host.
type StepRequest struct {
	Run    RunInfo         `json:"run"`
	Action string          `json:"action"`
	Config json.RawMessage `json:"config"`
	// Effects are what the steps before will have done; none while applying.
	Effects []Effect `json:"effects,omitempty"`
}

// DataRequest is a data source's configuration as it crosses to a host.
type DataRequest struct {
	Run    RunInfo         `json:"run"`
	Type   string          `json:"type"`
	Config json.RawMessage `json:"config"`
}
