package run

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/lang"
)

// Begin makes the run of a plan durable and returns its Runner. Nothing has
// changed on the host by then. The run's time counts from began on, when its
// command was given: planning it and asking are part of it.
func (s Store) Begin(host engine.Host, planned *lang.Scope, plan *Plan, began time.Time, version string, emit func(engine.Event)) (*Runner, error) {
	planned.Book.Sources.Seal()
	scope := lang.NewScope(planned.Book, planned.Vars, planned.Run)
	scope.Data = planned.Data
	r := &Runner{host: host, scope: scope, emit: emit, secrets: plan.secrets.anew()}
	r.state = r.newState()
	head, err := r.header(plan, version)
	if err != nil {
		return nil, err
	}
	head.Began = began.UTC()
	r.state.Header = head
	if err := r.unfold(); err != nil {
		return nil, err
	}
	written, err := r.hidden(head)
	if err != nil {
		return nil, fmt.Errorf("the journal's header: %w", err)
	}
	if r.journal, err = journal.Create(s.run(scope.Run.ID), kindRun, written); err != nil {
		return nil, err
	}
	emit(engine.RunStarted{
		ID: scope.Run.ID, Runbook: scope.Book.Name, Host: host.Name(),
		Started: head.Began, TimeBudget: scope.Book.TimeBudget,
	})
	return r, nil
}

func (r *Runner) header(plan *Plan, version string) (Header, error) {
	h := Header{
		Format: formatVersion, Version: version, Run: r.scope.Run, Host: r.host.Name(),
		File: cmp.Or(r.scope.Book.Sources.Path(), plan.file), Sources: r.scope.Book.Sources.All(), Salt: r.secrets.salt, Plan: plan.lean(),
	}
	var err error
	h.Variables, h.Sensitive, err = r.recordable(r.scope.Vars)
	return h, err
}

// recordable is what the journal keeps of variables: the values, and of sensitive
// ones the salted hashes.
func (r *Runner) recordable(vars map[string]cty.Value) (values map[string]json.RawMessage, hashes map[string]string, err error) {
	values, hashes = map[string]json.RawMessage{}, map[string]string{}
	for name, v := range vars {
		raw, err := encodeVariable(v)
		if err != nil {
			return nil, nil, fmt.Errorf("variable %s: %w", name, err)
		}
		if v.ContainsMarked() {
			hashes[name] = r.secrets.hash(string(raw))
			r.secrets.variable(v)
			continue
		}
		values[name] = raw
	}
	return values, hashes, nil
}

// hidden is h without the sensitive values. The sources stay as they are: a
// variable's value is no part of them, and a resume has to read them.
func (r *Runner) hidden(h Header) (Header, error) {
	var err error
	if h.Plan, err = rewriteInto(r.secrets, h.Plan, r.secrets.hide); err != nil {
		return h, err
	}
	h.Variables, err = rewriteInto(r.secrets, h.Variables, r.secrets.hide)
	return h, err
}

// encodeVariable encodes a value with its type, without its marks.
func encodeVariable(v cty.Value) (json.RawMessage, error) {
	bare, _ := v.UnmarkDeep()
	return ctyjson.Marshal(bare, cty.DynamicPseudoType)
}

// Resume opens a run to be taken up again with Run or Rollback. It follows the
// runbook as it was when the run began.
// set holds the texts of the sensitive variables, which the journal doesn't
// keep. The error may be a *lang.Error.
func (s Store) Resume(id string, host engine.Host, reg *engine.Registry, set lang.Settings, version string, emit func(engine.Event)) (_ *Runner, err error) {
	r := &Runner{host: host, emit: emit, secrets: newSecrets(""), reopened: &resumed{Version: version, PID: os.Getpid()}}
	r.state = r.newState()
	var torn *journal.Torn
	if r.journal, torn, err = s.open(id, r.state); err != nil {
		return nil, err
	}
	if torn != nil {
		emit(engine.JournalTorn{Bytes: torn.Bytes, Aside: torn.Aside})
	}
	if err := r.restore(r.journal.Each, reg, set); err != nil {
		return nil, errors.Join(err, r.journal.Close())
	}
	return r, nil
}

// takeUp records that an interrupted run goes on, once it is known that it may.
func (r *Runner) takeUp() error {
	if r.reopened == nil {
		return nil
	}
	if err := r.append(kindResumed, r.reopened); err != nil {
		return err
	}
	r.reopened = nil
	r.emit(engine.RunStarted{
		ID: r.id(), Runbook: r.scope.Book.Name, Host: r.host.Name(), Resumed: true, Done: r.state.done(),
		Started: r.state.Began, TimeBudget: r.scope.Book.TimeBudget,
	})
	return nil
}

// restore brings back what the runner knew when the run was interrupted. again
// shows its records again.
func (r *Runner) restore(again func(visit) error, reg *engine.Registry, set lang.Settings) error {
	head := r.state.Header
	r.secrets = newSecrets(head.Salt)
	book, diags := lang.Load(lang.NewSources(head.Sources...), reg)
	if diags.HasErrors() {
		return &lang.Error{Book: book, Diags: diags}
	}
	vars, err := r.variables(book, set)
	if err != nil {
		return err
	}
	if len(r.secrets.tokens) > 0 { // they were unknown when the journal was read
		r.state = r.newState()
		if err := again(r.state.take); err != nil {
			return err
		}
	}
	r.scope = lang.NewScope(book, vars, head.Run)
	return r.unfold()
}

// unfold lists the run's units as its plan has them, and gives what the data
// sources read when the run began to the expressions of their runbooks.
func (r *Runner) unfold() error {
	if err := r.recallDataOf("", r.scope); err != nil {
		return err
	}
	var err error
	all, diags := units(r.scope, func(u *unit) (bool, hcl.Diagnostics) {
		if u.begins() && err == nil {
			err = r.recallDataOf(u.addr, u.inner)
		}
		return err == nil && r.state.Header.Plan.step(u.addr).Skip == "", nil
	})
	if diags.HasErrors() {
		err = errors.Join(err, &lang.Error{Book: r.scope.Book, Diags: diags})
	}
	r.units = all
	return err
}

func (r *Runner) recallDataOf(step string, scope *lang.Scope) error {
	read := r.state.Header.Plan.Data
	if st := r.state.Steps[step]; st != nil {
		read = append(slices.Clone(read), st.Data...)
	}
	for _, d := range read {
		if d.Step != step {
			continue
		}
		if err := r.recallData(scope, scope.Book.DataSource(d.Type, d.Name), d.Result); err != nil {
			return err
		}
	}
	return nil
}

// newState is one that shows the values of sensitive variables.
func (r *Runner) newState() *State {
	s := newState()
	s.show = func(data json.RawMessage) (json.RawMessage, error) {
		if len(r.secrets.tokens) == 0 {
			return data, nil
		}
		return r.secrets.rewrite(data, r.secrets.show)
	}
	return s
}

// recallData gives what a data source read when the run began to the
// expressions that follow.
func (r *Runner) recallData(scope *lang.Scope, d *lang.Data, res engine.Result) error {
	cfg, _ := scope.Config(d.Config, cty.NilVal) // for its secrets alone
	r.secrets.add(cfg.Secrets...)
	res, err := rewriteInto(r.secrets, res, r.secrets.show)
	if err != nil {
		return err
	}
	return setData(scope, d, res)
}

// variables are those of the journal, and the sensitive ones, which must be
// what they were.
func (r *Runner) variables(book *lang.Runbook, set lang.Settings) (map[string]cty.Value, error) {
	head := r.state.Header
	for name, given := range set {
		if _, ok := head.Sensitive[name]; !ok && !given.Ambient {
			return nil, engine.Errorf("run "+r.id(), "variable %q can't be set now: the run has kept its value", name).
				WithHint("Only sensitive variables are asked for again")
		}
	}
	vars := map[string]cty.Value{}
	for name, hash := range head.Sensitive {
		v, diag := book.SensitiveValue(name, set)
		if diag != nil {
			return nil, &lang.Error{Book: book, Diags: hcl.Diagnostics{diag}}
		}
		raw, err := encodeVariable(v)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		if r.secrets.hash(string(raw)) != hash {
			return nil, engine.Errorf("variable "+name, "this is not the value that the run began with").
				WithHint("A run keeps its values to the end. Give the same one: a resume and a rollback both need it")
		}
		vars[name] = v
		r.secrets.variable(v)
	}
	for name, raw := range head.Variables {
		raw, err := r.secrets.rewrite(raw, r.secrets.show)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		if vars[name], err = ctyjson.Unmarshal(raw, cty.DynamicPseudoType); err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
	}
	return vars, nil
}

// Close releases the run's journal.
func (r *Runner) Close() error { return r.journal.Close() }

// State returns what the journal says of the run by now.
func (r *Runner) State() *State { return r.state }

// Book returns the runbook that the run follows.
func (r *Runner) Book() *lang.Runbook { return r.scope.Book }

// done counts the steps that are finished.
func (s *State) done() int {
	n := 0
	for _, st := range s.Steps {
		if st.Done {
			n++
		}
	}
	return n
}
