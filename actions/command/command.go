// Package command holds the escape hatch: an action that runs a program.
package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Actions lists the actions that run programs.
func Actions() []engine.Spec { return []engine.Spec{commandSpec} }

var commandSpec = engine.Spec{
	Name: "command",
	Doc: "Runs a program, without a shell. " +
		"Planning runs nothing, and what the program will do nobody knows beforehand, so whatever later steps look at is known after this one only. " +
		"A watcher of runbook's own starts the program, records its beginning and its end in commands/RUN in the state directory (" + defaultState + ", or what --state-dir or RUNBOOK_STATE_DIR names; readable by its owner only), and outlives a crash: " +
		"a resumed run waits for a program that still runs, takes the recorded end of one that has ended, and begins one that hadn't begun. " +
		"Only where the watcher itself was cut off, by a power cut perhaps, is the step in doubt: `creates` or `probe` then tells whether the program had done its work, and where neither is set the operator is asked. " +
		"What a program leaves running in the background has to have its output redirected.",
	Attributes: []engine.Attribute{
		{Name: "argv", Type: cty.List(cty.String), Required: true, Check: checkArgv,
			Doc: "The program, as an absolute path or a name to look up in PATH, and its arguments."},
		{Name: "environment", Type: cty.Map(cty.String), Check: checkEnvironment,
			Doc: "Variables to set beside PATH, HOME and LANG. Nothing else of runbook's own environment reaches the program, nor its terminal and open files; the umask is 022, and no core is dumped."},
		{Name: "directory", Type: cty.String, Default: cty.StringVal("/"), Check: checkPath,
			Doc: "Absolute path of the directory to run it in."},
		{Name: "stdin", Type: cty.String, Doc: "What it reads from its standard input; nothing by default."},
		{Name: "timeout_seconds", Type: cty.Number, Default: cty.NumberIntVal(600), Check: checkPositive,
			Doc: "How long it may run, in seconds. Then it is sent SIGTERM, and SIGKILL 10 seconds later."},
		{Name: "expected_codes", Type: cty.List(cty.Number), Default: cty.ListVal([]cty.Value{cty.NumberIntVal(0)}), Check: checkCodes,
			Doc: "The exit codes that mean success."},
		{Name: "creates", Type: cty.String, Check: checkPath,
			Doc: "Absolute path that the program creates. Where it exists, there is nothing to do."},
		{Name: "unless", Type: cty.List(cty.String), Check: checkArgv,
			Doc: "A program that changes nothing and exits with 0 where there is nothing to do. It is asked when the step runs, not while planning."},
		{Name: "probe", Type: cty.List(cty.String), Check: checkArgv,
			Doc: "A program that changes nothing and exits with 0 where the work is done. It is asked where the step is in doubt."},
		{Name: "undo", Type: cty.List(cty.String), Check: checkArgv,
			Doc: "A program that undoes the work, whole or half. It has to be one that may be run twice: it is run again where nobody saw its end."},
	},
	Results: []engine.Attribute{
		{Name: "ran", Type: cty.Bool, Doc: "Whether it was run; false where there was nothing to do."},
		{Name: "exit_code", Type: cty.Number, Doc: "What it ended with; null where it wasn't run or nobody saw its end."},
		{Name: "stdout", Type: cty.String, Doc: "The last 64 KiB of what it wrote to its standard output."},
		{Name: "stderr", Type: cty.String, Doc: "The last 64 KiB of what it wrote to its standard error."},
	},
	Example: `step "command" "make_file_system" {
  argv    = ["mkfs.ext4", "-q", "/dev/vdb"]
  unless  = ["blkid", "/dev/vdb"]
  probe   = ["blkid", "/dev/vdb"]
}`,
	New: func() engine.Action { return new(command) },
}

type command struct {
	Argv        []string          `cty:"argv"`
	Environment map[string]string `cty:"environment"`
	Directory   string            `cty:"directory"`
	Stdin       *string           `cty:"stdin"`
	Timeout     int64             `cty:"timeout_seconds"`
	Expected    []int             `cty:"expected_codes"`
	Creates     *string           `cty:"creates"`
	Unless      []string          `cty:"unless"`
	Probe       []string          `cty:"probe"`
	UndoArgv    []string          `cty:"undo"`
}

var (
	_ engine.Action  = (*command)(nil)
	_ engine.Settler = (*command)(nil)
)

// record is the action's Change.Data: where the watcher keeps its records.
type record struct {
	Dir     string `json:"dir"`
	secrets engine.Secrets
}

// Plan implements engine.Action. It runs nothing.
func (a *command) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	rec := record{Dir: a.recordDir(w.Run()), secrets: engine.SecretsOf(ctx)}
	before, last, err := a.beginning(rec)
	if err != nil {
		return engine.Change{}, err
	}
	if a.succeeded(last) {
		return engine.Change{Results: last.results()}, nil
	}
	if exists, err := a.created(ctx, w); err != nil || exists {
		return engine.Change{Results: notRun()}, err
	}
	if err := a.refuse(ctx, w); err != nil {
		return engine.Change{}, err
	}
	c := engine.Change{
		Items:   []engine.Item{{Target: a.title(rec.secrets), Before: before, After: "run", Note: a.note()}},
		Effects: []engine.Effect{{Anything: true}},
		// An attempt is recorded before it begins.
		Witnessed: true,
	}
	if len(a.UndoArgv) == 0 {
		c.Irreversible = "the command has no undo."
	}
	if !a.tells() && !last.settled() && !rec.watched() {
		c.Unpredictable = "Neither creates nor probe is set, so nothing tells afterwards whether the command has done its work."
	}
	return c, c.SetData(rec)
}

// tells reports whether there is something that tells afterwards whether the
// program has done its work.
func (a *command) tells() bool { return a.Creates != nil || len(a.Probe) > 0 }

// beginning says in the plan's words how far earlier calls of the same run
// got, and returns the last attempt that they made.
func (a *command) beginning(rec record) (string, *attempt, error) {
	last, err := rec.latest(do)
	switch {
	case err != nil || last == nil:
		return "not run", nil, err
	case last.Ended == nil:
		return "begun, no end recorded", last, nil
	}
	return "run, and failed", last, nil
}

// created reports whether what the program creates is there.
func (a *command) created(ctx context.Context, w engine.World) (bool, error) {
	if a.Creates == nil {
		return false, nil
	}
	fact, err := w.Stat(ctx, *a.Creates)
	return fact.Exists, err
}

// refuse tells why the program can't be run, or nil. What an earlier step may
// change still is looked at when the step runs.
func (a *command) refuse(ctx context.Context, w engine.World) error {
	err := a.refuseDirectory(ctx, w)
	if err == nil {
		err = a.refusePrograms(ctx, w)
	}
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		return nil
	}
	return err
}

func (a *command) refuseDirectory(ctx context.Context, w engine.World) error {
	fact, err := w.Stat(ctx, a.Directory)
	if err != nil {
		return err
	}
	if !fact.Exists || fact.Type != engine.TypeDirectory && fact.Type != engine.TypeSymlink {
		return engine.Errorf(a.Directory, "there is no such directory").
			WithHint("The command was to run in it.").WithAttribute("directory")
	}
	return nil
}

func (a *command) refusePrograms(ctx context.Context, w engine.World) error {
	look := func(path string) (engine.PathFact, error) {
		fact, err := w.Stat(ctx, path)
		if fact.Type == engine.TypeSymlink {
			fact.Type = engine.TypeFile // to whatever: the kernel will tell
		}
		return fact, err
	}
	for _, p := range []struct {
		attribute string
		argv      []string
	}{{"argv", a.Argv}, {"unless", a.Unless}, {"probe", a.Probe}, {"undo", a.UndoArgv}} {
		if len(p.argv) == 0 {
			continue
		}
		_, err := find(p.argv[0], a.path(), look)
		if e := (*engine.Error)(nil); errors.As(err, &e) {
			return e.WithAttribute(p.attribute)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// title is the command as one would type it, cut where it gets long.
func (a *command) title(secrets engine.Secrets) string {
	words := make([]string, len(a.Argv))
	for i, word := range a.Argv {
		words[i] = quote(word)
	}
	line, cut := secrets.Cut(strings.Join(words, " "), 200)
	if cut {
		line += "…"
	}
	return "command " + line
}

func (a *command) note() string {
	if len(a.Unless) > 0 {
		return "not predictable: `unless` is asked when the step runs"
	}
	return ""
}

// Apply implements engine.Action. The record tells how far earlier calls got;
// a program is started only where none that was started before may still have
// an effect.
func (a *command) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	rec, err := recorded(ctx, c)
	if err != nil {
		return nil, err
	}
	l, err := rec.lock(ctx, r)
	if err != nil {
		return nil, err
	}
	defer l.close()
	last, err := rec.latest(do)
	if err != nil {
		return nil, err
	}
	if last != nil && last.Ended != nil && (a.succeeded(last) || !last.Told) {
		return a.outcome(last)
	}
	if l.waited && last != nil && last.Ended == nil && !a.tells() {
		return nil, wasCutOff(a.Argv[0], "") // nobody has been asked yet
	}
	if done, err := a.nothingToDo(ctx, last); err != nil || done {
		res := notRun()
		res["ran"] = last != nil
		return res, err
	}
	order, err := a.order(a.Argv, rec.next(do, last))
	if err != nil {
		return nil, err
	}
	if a.Stdin != nil {
		order.Stdin = *a.Stdin
	}
	ended, err := l.run(ctx, order, r)
	if err != nil {
		return nil, err
	}
	return a.outcome(ended)
}

// outcome is what an attempt came to. A failure is told once: who calls again
// after that wants another attempt.
func (a *command) outcome(at *attempt) (engine.Result, error) {
	if a.succeeded(at) {
		if missing, err := a.missing(); err != nil || !missing {
			return at.results(), err
		}
		return nil, engine.Errorf("command "+a.Argv[0], "it ended with exit code %d, and %s doesn't exist", at.Ended.Code, *a.Creates).
			WithHint("Either the program failed without saying so, or creates names what it doesn't create.").WithAttribute("creates")
	}
	at.Told = true
	if err := at.save(); err != nil {
		return nil, err
	}
	return nil, at.failure(a.Argv[0])
}

func (a *command) succeeded(at *attempt) bool {
	return at != nil && at.Ended != nil && at.Ended.exited() && slices.Contains(a.Expected, at.Ended.Code)
}

// Settle implements engine.Settler.
func (a *command) Settle(ctx context.Context, c engine.Change, r engine.Reporter) error {
	l, err := a.settle(ctx, c, r)
	if l != nil {
		l.close()
	}
	return err
}

// settle waits for a program that still runs, and returns the record with its
// lock; nil where no program was begun.
func (a *command) settle(ctx context.Context, c engine.Change, r engine.Reporter) (*locked, error) {
	if c.Empty() {
		return nil, nil
	}
	rec, err := recorded(ctx, c)
	if err != nil || !rec.exists() {
		return nil, err
	}
	l, err := rec.lock(ctx, r)
	if err != nil {
		return nil, err
	}
	last, err := rec.latest(do)
	if err == nil {
		err = last.survived()
	}
	if err != nil || last == nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// Undo implements engine.Action. Where the program was begun, undo is run, and
// run to its end.
func (a *command) Undo(ctx context.Context, c engine.Change, r engine.Reporter) error {
	if len(a.UndoArgv) == 0 {
		return nil
	}
	l, err := a.settle(ctx, c, r)
	if l == nil {
		return err
	}
	defer l.close()
	return a.runUndo(ctx, l, r)
}

func (a *command) runUndo(ctx context.Context, l *locked, r engine.Reporter) error {
	last, err := l.rec.latest(undo)
	if err != nil {
		return err
	}
	if err := last.survived(); err != nil {
		return err
	}
	if last == nil || last.Ended == nil || last.Told {
		order, err := a.order(a.UndoArgv, l.rec.next(undo, last))
		if err != nil {
			return err
		}
		if last, err = l.run(ctx, order, r); err != nil {
			return err
		}
	}
	if last.Ended.exited() && last.Ended.Code == 0 {
		return nil
	}
	last.Told = true
	if err := last.save(); err != nil {
		return err
	}
	return last.failure(a.UndoArgv[0])
}

func recorded(ctx context.Context, c engine.Change) (record, error) {
	rec := record{secrets: engine.SecretsOf(ctx)}
	err := c.GetData(&rec)
	return rec, err
}

// notRun are the results where there was nothing to do.
func notRun() engine.Result {
	return engine.Result{"ran": false, "exit_code": nil, "stdout": "", "stderr": ""}
}

// quote writes a word so that a shell would read it as it is.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("%+,-./:=@_", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	if strings.IndexFunc(word, func(r rune) bool { return r < ' ' }) >= 0 {
		return fmt.Sprintf("$%q", word)
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
