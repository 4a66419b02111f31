package main

import (
	"context"
	"errors"
	"os"
	"os/user"
	"strconv"

	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/durable"
	"runbook/engine/lang"
	"runbook/engine/run"
)

func (a *app) runCommand() *cobra.Command {
	var given settings
	var yes bool
	var drill, sum string
	cmd := addJSONFlag(&cobra.Command{
		Use:     "run FILE",
		Short:   "Plan a runbook, ask, and carry it out",
		Example: "  runbook run etcd-recover.hcl",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.run(args[0], given, drill, sum, yes)
		},
	})
	given.flags(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask before changing the host")
	cmd.Flags().StringVar(&sum, "sha256", "", "carry a kept plan out only if `DIGEST` is its SHA-256, as plan --out told it")
	cmd.Flags().StringVar(&drill, "drill", "", "let a drill do its damage to this host, which `HOSTNAME` has to be")
	return cmd
}

// drillAgreed refuses a runbook that does damage on purpose unless the operator
// has named this very host.
func (a *app) drillAgreed(book *lang.Runbook, given string) error {
	host := a.host().Name()
	switch {
	case !book.Drill && given != "":
		return engine.Errorf("runbook "+book.Name, "--drill is given, but the runbook is no drill").WithHint("Leave --drill out")
	case book.Drill && given == "":
		return engine.Errorf("runbook "+book.Name, "it is a drill: it does damage to this host on purpose").
			WithHint("If this is the host to rehearse on, name it: --drill %s", host)
	case book.Drill && given != host:
		return engine.Errorf("runbook "+book.Name, "this host is %s, and --drill names %s", host, given).
			WithHint("Nothing has been changed. Run the drill on the host that it is meant for")
	}
	return nil
}

func (a *app) run(file string, given settings, drill, sum string, yes bool) error {
	// Mistakes in the runbook are told before the lock is taken.
	what, err := a.check(file)
	if err != nil {
		return err
	}
	if err := what.verify(file, sum); err != nil {
		return err
	}
	release, err := a.lock("run", "about to begin")
	if err != nil {
		return err
	}
	defer release()
	if err := a.noneUnfinished(); err != nil {
		return err
	}
	p, scope, err := a.prepare(what, given)
	if err != nil {
		return err
	}
	if err := a.drillAgreed(scope.Book, drill); err != nil {
		return err
	}
	if a.store().Exists(p.Run.ID) == nil { // a plan that was kept has its run's ID
		return engine.Errorf("run "+p.Run.ID, "it exists: a plan is carried out once, and this one was").
			WithHint("See how it went with `runbook show %s`, and make a new plan", p.Run.ID)
	}
	shown, err := p.Shown()
	if err != nil {
		return err
	}
	a.view.Plan(shown, a.store().Estimate(p))
	a.warnExposed(append(filesOf(scope.Book.Sources), given.files...))
	if err := shown.BlockedBy(); err != nil || p.GoalHolds() {
		return err
	}
	if !yes && !p.NothingToDo() {
		if agreed, err := a.agreedTo(shown, file); err != nil || !agreed {
			return err
		}
	}
	if err := a.store().Supersede(a.gaveUp); err != nil {
		return err
	}
	r, err := a.store().Begin(a.host(), scope, p, a.began, version, a.event)
	if err != nil && a.store().Exists(p.Run.ID) == nil { // it has a journal, which couldn't be removed
		return &stoppedError{id: p.Run.ID, phase: run.Running, err: err}
	}
	if err != nil {
		return err
	}
	return a.drive(r, p.Run.ID, r.Run)
}

// drive runs or rolls back until it ends, and says what to do next if it
// ended early.
func (a *app) drive(r *run.Runner, id string, work func(ctx, stop context.Context) error) error {
	beThrifty(r.Book().Sources)
	if a.terminal() {
		r.Ask = a.ask
	}
	defer context.AfterFunc(a.stop, func() { a.event(engine.Stopping{}) })()
	err := errors.Join(work(a.ctx, a.stop), r.Close())
	var undone *run.RolledBackError
	if err == nil || errors.As(err, &undone) {
		return err
	}
	if phase := r.State().Phase; phase.Open() {
		return &stoppedError{id: id, phase: phase, err: err}
	}
	return engine.Errorf("run "+id, "it is %s as before: %w", r.State().Phase, err).WithHint("%s", engine.HintOf(err))
}

// lock takes the machine's lock and returns what drops it.
func (a *app) lock(doing, id string) (func(), error) {
	if err := a.store().Prepare(); err != nil {
		return nil, err
	}
	return a.store().Lock(doing, id)
}

// noneUnfinished refuses to start beside a run that was left half-way.
func (a *app) noneUnfinished() error {
	id, err := a.store().Unfinished()
	if id != "" && err != nil {
		unread := engine.Errorf("run "+id, "its journal can't be read, so nobody knows whether it has ended: %w", err)
		if hint := engine.HintOf(durable.Advised(err, "try again")); hint != engine.HintOf(err) {
			return unread.WithHint("%s", hint)
		}
		return unread.WithHint("Look at the host. Once it is in order, give the run up with `runbook abandon %s`", id)
	}
	if id == "" || err != nil {
		return err
	}
	return engine.Errorf("run "+id, "it was begun on this machine and has not ended").
		WithHint("Go on with `runbook resume`, undo it with `runbook rollback`, or give it up with `runbook abandon %s`", id)
}

// gaveUp tells of a run that the one that begins takes the place of.
func (a *app) gaveUp(sum run.Summary) {
	a.view.Note("Run %s of %s was cut short. It may simply be begun anew, and is given up.", sum.ID, sum.State.Header.Plan.Runbook)
}

// operator is the name of whoever gives the commands, also behind sudo.
func operator() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}
