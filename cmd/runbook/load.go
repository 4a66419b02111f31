package main

import (
	"errors"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
	"runbook/runbooks"
)

// sources reads the runbook that the operator named: a file, or else one of
// those that come with the binary.
func (a *app) sources(name string) (*lang.Sources, error) {
	src, err := lang.ReadSources(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return src, err
	}
	src, err = lang.ReadSourcesIn(runbooks.FS, name)
	if err != nil {
		return nil, &engine.Error{Where: name, Err: errors.New("no such runbook file"), Hint: "These come with runbook and need no file: " + strings.Join(runbooks.Names(), ", ")}
	}
	a.view.Note("There is no file %s here; using the one that comes with runbook %s.", name, version)
	return src, nil
}

// load reads and checks a runbook.
func (a *app) load(name string) (*lang.Runbook, error) {
	src, err := a.sources(name)
	if err != nil {
		return nil, err
	}
	beThrifty(src)
	book, diags := lang.Load(src, a.registry())
	if diags.HasErrors() {
		return nil, &lang.Error{Book: book, Diags: diags}
	}
	beThrifty(src)
	return book, nil
}

// muchText is where a runbook takes tens of megabytes of memory.
const muchText = 64 << 10

// beThrifty gives a little time for much memory where a runbook is long: a
// machine in trouble may have little left. What was left behind so far goes back
// at once. GOGC has its way where it is set.
func beThrifty(src *lang.Sources) {
	if src.Size() >= muchText && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(33)
		debug.FreeOSMemory()
	}
}

// named is what the operator named to be run: a runbook, or the text of a plan.
type named struct {
	book *lang.Runbook
	plan []byte
}

// check reports what is wrong with a runbook; a plan is checked when it is
// prepared.
func (a *app) check(file string) (named, error) {
	text, err := lang.ReadFile(file, run.MostPlan)
	if err == nil && run.IsPlanFile(string(text)) {
		return named{plan: text}, nil
	}
	book, err := a.load(file)
	return named{book: book}, err
}

// prepare makes the plan of a runbook for a new run, or decodes one that was
// kept.
func (a *app) prepare(what named, given settings) (*run.Plan, *lang.Scope, error) {
	if what.book != nil {
		return a.plan(what.book, given, run.NewID(time.Now()))
	}
	set, err := given.read()
	if err != nil {
		return nil, nil, err
	}
	scope, p, err := run.DecodePlan(what.plan, a.host(), a.registry(), set)
	return p, scope, err
}

// plan makes a plan of a runbook for the run called id.
func (a *app) plan(book *lang.Runbook, given settings, id string) (*run.Plan, *lang.Scope, error) {
	set, err := given.read()
	if err != nil {
		return nil, nil, err
	}
	vars, diags := book.VariableValues(set)
	if diags.HasErrors() {
		return nil, nil, &lang.Error{Book: book, Diags: diags}
	}
	info := engine.RunInfo{ID: id, Runbook: book.Name, Started: time.Now().UTC().Truncate(time.Second)}
	scope := lang.NewScope(book, vars, info)
	p, diags := run.MakePlan(a.stop, a.host(), scope)
	if diags.HasErrors() {
		return nil, nil, &lang.Error{Book: book, Diags: diags}
	}
	return p, scope, nil
}
