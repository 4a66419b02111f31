package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
	"runbook/runbooks"
)

// bookSuffix ends the name of a runbook's file.
const bookSuffix = ".hcl"

// sources reads the runbook that the operator named: a file, or else one of
// those that come with the binary.
func (a *app) sources(name string) (*lang.Sources, error) {
	src, err := findSources(name)
	if err == nil && src.Path() == "" {
		a.view.Note("%s: the one that comes with runbook %s.", src.All()[0].Name, version)
	}
	return src, err
}

// findSources is sources without a word.
func findSources(name string) (*lang.Sources, error) {
	names := []string{name}
	if !strings.HasSuffix(name, bookSuffix) {
		names = append(names, name+bookSuffix)
	}
	for _, each := range names {
		src, err := readSources(each)
		if !errors.Is(err, fs.ErrNotExist) {
			return src, err
		}
		if src, err = lang.ReadSourcesIn(runbooks.FS, each); err == nil {
			return src, nil
		}
	}
	return nil, noBook(name)
}

// readSources reads a runbook. What it names and isn't beside it may be one
// of those that come with the binary, as with the runbook itself.
func readSources(file string) (*lang.Sources, error) {
	src, err := lang.ReadSources(file)
	if err == nil {
		src.OrElse(runbooks.FS)
	}
	return src, err
}

// noBook says which runbooks there are in place of the one called name.
func noBook(name string) error {
	all, _ := filepath.Glob(filepath.Join(escapeGlob(filepath.Dir(name)), "*"+bookSuffix)) // the pattern is a good one
	all = append(all, runbooks.Names()...)
	near := lang.Closest(name, all)
	if i := slices.IndexFunc(all, func(book string) bool { return strings.HasPrefix(path.Base(book), path.Base(name)) }); i >= 0 {
		near = all[i]
	}
	hint := "These come with runbook and need no file: " + strings.Join(runbooks.Names(), ", ")
	if near != "" {
		hint = "Did you mean " + near + "? " + hint
	}
	return engine.Errorf(name, "no such runbook file").WithHint("%s", hint)
}

// load reads and checks a runbook.
func (a *app) load(name string) (*lang.Runbook, error) {
	src, err := a.sources(name)
	if err != nil {
		return nil, err
	}
	return a.loadFrom(src)
}

// loadFrom checks a runbook.
func (a *app) loadFrom(src *lang.Sources) (*lang.Runbook, error) {
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

// named is what the operator named to be run: a runbook, or a plan that was kept.
type named struct {
	book *lang.Runbook
	plan *keptPlan
}

// check reports what is wrong with a runbook; a plan is checked when it is
// prepared.
func (a *app) check(file string) (named, error) {
	if plan, ok := readPlan(file); ok {
		return named{plan: plan}, nil
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
	head, err := run.PlanHeader(what.plan.text)
	if err != nil {
		return nil, nil, err
	}
	a.view.Note("%s", what.plan.origin(head))
	scope, p, err := run.DecodePlan(what.plan.text, a.host(), a.registry(), set)
	return p, scope, err
}

// plan makes a plan of a runbook for the run called id.
func (a *app) plan(book *lang.Runbook, given settings, id string) (*run.Plan, *lang.Scope, error) {
	set, err := given.read()
	if err != nil {
		return nil, nil, err
	}
	if stray := set.Stray(book); len(stray) > 0 {
		a.view.Note("Note: the environment sets %s, and runbook %s has no such variable.", strings.Join(stray, ", "), book.Name)
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
