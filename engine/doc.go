// Package engine is the vocabulary of runbook: what a step, a change, a world
// and an error are. It does no I/O. Technology lives in the packages below
// actions, which know engine and not each other; planning and running live in
// engine/run.
package engine
