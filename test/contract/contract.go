// Package contract is what every action promises, as tests that try to break
// it: Plan changes nothing and tells the truth, Apply and Undo can be killed
// at any system call and called again, and only data crosses to a host.
//
// A package that runs cases has to hand its TestMain to Child first, because
// the killed processes are the test binary itself.
package contract

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"runbook/engine"
	"runbook/engine/host"
	"runbook/test/torture/tally"
)

// A Case is one action in one situation.
type Case struct {
	// Name tells the cases of one action apart.
	Name   string
	Action string
	// Setup makes a fresh scene. It is called many times, and has to make the
	// same scene each time.
	Setup func(t *testing.T) Scene
	// Looks says that the action changes nothing in this case.
	Looks bool
	// Kills says that the action is killed even though it changes nothing that
	// lasts: it makes something to work with, and removes it.
	Kills bool
	// AlwaysFails says that Apply has to fail; how, Fails tells.
	AlwaysFails bool
	// Fills says that the action takes all the room of a disk on purpose: it
	// meets no errors of one, since that there is no room is what it wants, and
	// what its file holds is of no use.
	Fills bool
	// Syscalls are calls to be killed at beside those that change files; for
	// an action that works through a socket "write" or "sendmsg".
	Syscalls []string
	// Bad lists configurations that the action has to refuse.
	Bad []Bad
	// Fails lists what Plan can't know: Apply has to fail, and Undo to leave
	// the scene as it was.
	Fails []Bad
}

// A Scene is a host prepared for an action.
type Scene struct {
	// Config holds the attributes that are set.
	Config map[string]cty.Value
	// Observe describes everything that the action may touch, in a form that
	// is equal between two scenes of one Setup.
	Observe func(t *testing.T) string
	// Count, where set, describes what adds up and can't be taken back, such
	// as how often a unit has been started.
	Count func(t *testing.T) string
	// Applied, where set, checks the host after Apply.
	Applied func(t *testing.T)
}

func (s Scene) count(t *testing.T) string {
	if s.Count == nil {
		return ""
	}
	return s.Count(t)
}

// Bad is a mistake in a configuration.
type Bad struct {
	Name string
	// Set makes the mistake: in the configuration, or in the scene.
	Set func(t *testing.T, config map[string]cty.Value)
	// Attribute is at fault, and Message part of what the user reads.
	Attribute string
	Message   string
}

// run is the run that all steps of the suite belong to.
var run = engine.RunInfo{ID: "20260102-030405-abcd", Runbook: "contract", Step: "step", Started: time.Unix(1767323045, 0).UTC()}

// Run checks that c keeps the contract: on this machine as a host, on one
// that only data reaches, and under kill.
func Run(t *testing.T, reg *engine.Registry, c Case) {
	spec, ok := reg.Action(c.Action)
	if !ok {
		t.Fatalf("there is no action %s", c.Action)
	}
	local := host.NewLocal(reg)
	for name, h := range map[string]engine.Host{"local": local, "data": loopback{local}} {
		t.Run(name, func(t *testing.T) {
			s := suite{c: c, spec: spec, host: h}
			t.Run("plan", s.planChangesNothing)
			if !c.AlwaysFails {
				t.Run("apply", s.applyAndUndo)
			}
			t.Run("undo first", s.undoWithoutApply)
			for _, b := range c.Bad {
				t.Run("bad/"+b.Name, func(t *testing.T) { s.refuses(t, b) })
			}
			for _, b := range c.Fails {
				t.Run("fails/"+b.Name, func(t *testing.T) { s.fails(t, b) })
			}
		})
	}
	t.Run("kill", suite{c: c, spec: spec, host: local}.survivesKill)
	t.Run("errors", suite{c: c, spec: spec, host: local}.survivesErrors)
}

type suite struct {
	c    Case
	spec engine.Spec
	host engine.Host
}

func (s suite) looks() bool { return s.spec.ReadOnly || s.c.Looks }

// stage is a scene whose step is planned.
type stage struct {
	suite
	scene    Scene
	request  engine.StepRequest
	change   engine.Change
	original string
}

func (s suite) stage(t *testing.T) stage {
	t.Helper()
	scene := s.c.Setup(t)
	st := stage{suite: s, scene: scene, request: s.request(t, scene.Config), original: scene.Observe(t)}
	st.change = st.plan(t)
	if st.change.Empty() && !s.looks() {
		t.Fatal("Plan finds nothing to do in a fresh scene")
	}
	return st
}

// request encodes a configuration as the language would: converted, checked,
// and with its defaults.
func (s suite) request(t *testing.T, config map[string]cty.Value) engine.StepRequest {
	t.Helper()
	req, attribute, err := s.encode(config)
	if err != nil {
		t.Fatalf("attribute %s: %v", attribute, err)
	}
	return req
}

func (s suite) encode(config map[string]cty.Value) (req engine.StepRequest, attribute string, err error) {
	config = maps.Clone(config)
	for _, a := range s.spec.Attributes {
		v, set := config[a.Name]
		if !set {
			v = a.Default
		}
		if v == cty.NilVal {
			v = cty.NullVal(a.Type)
		}
		if v, err = convert.Convert(v, a.Type); err != nil {
			return req, a.Name, err
		}
		if set && a.Check != nil && !v.IsNull() {
			if err := a.Check(v); err != nil {
				return req, a.Name, err
			}
		}
		config[a.Name] = v
	}
	raw, err := engine.EncodeConfig(s.spec.Attributes, cty.ObjectVal(config))
	return engine.StepRequest{Run: run, Action: s.spec.Name, Config: raw}, "", err
}

func (st stage) plan(t *testing.T) engine.Change {
	t.Helper()
	c, err := st.host.Plan(t.Context(), st.request)
	fatal(t, "Plan", err)
	return c
}

func (st stage) apply(t *testing.T, c engine.Change) {
	t.Helper()
	res, err := st.host.Apply(t.Context(), st.request, c, quiet{})
	fatal(t, "Apply", err)
	if _, err := engine.ResultValue(st.spec.Results, res, false); err != nil {
		t.Errorf("the results don't have their declared types: %v", err)
	}
	for name := range res {
		if !st.declares(name) {
			t.Errorf("result %s is not declared", name)
		}
	}
}

func (st stage) declares(result string) bool {
	for _, a := range st.spec.Results {
		if a.Name == result {
			return true
		}
	}
	return false
}

func (st stage) undo(t *testing.T) {
	t.Helper()
	fatal(t, "Undo", st.host.Undo(t.Context(), st.request, st.change, quiet{}))
}

// is fails unless the host looks like want.
func (st stage) is(t *testing.T, when, want string) {
	t.Helper()
	if got := st.scene.Observe(t); got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", when, got, want)
	}
}

func (s suite) planChangesNothing(t *testing.T) {
	st := s.stage(t)
	again := st.plan(t)
	st.is(t, "after Plan", st.original)
	if a, b := encoded(t, st.change), encoded(t, again); a != b {
		t.Errorf("planned twice, it differs:\n%s\n%s", a, b)
	}
	if !t.Failed() {
		tally.Count(t, "plans of an action that changed nothing, and the same when planned again", 1)
	}
}

func (s suite) applyAndUndo(t *testing.T) {
	st := s.stage(t)
	predicted := st.facts(t, st.change.Effects)
	st.apply(t, st.change)
	if st.scene.Applied != nil {
		st.scene.Applied(t)
	}
	if actual := st.facts(t, nil); actual != predicted {
		t.Errorf("the effects predict\n%s\nbut it came to\n%s", predicted, actual)
	}
	after, count := st.scene.Observe(t), st.scene.count(t)
	if st.looks() && after != st.original {
		t.Errorf("a read-only action changed the host to:\n%s\nfrom:\n%s", after, st.original)
	}
	st.planAfterApply(t)
	st.apply(t, st.change)
	st.is(t, "after Apply with the same Change again", after)
	if got := st.scene.count(t); got != count {
		t.Errorf("a second Apply had a second effect: %s, was %s", got, count)
	}
	for _, when := range []string{"after Undo", "after Undo again"} {
		st.undo(t)
		st.is(t, when, st.undone(after))
	}
	if !t.Failed() {
		tally.Count(t, "actions that came to what their plan had said, and were undone", 1)
	}
}

// undone is how the host looks once the step is undone: as it was, or as it
// is now where the step has said that it can't be.
func (st stage) undone(now string) string {
	if st.change.Irreversible != "" {
		return now
	}
	return st.original
}

func (st stage) planAfterApply(t *testing.T) {
	t.Helper()
	after := st.scene.Observe(t)
	next := st.plan(t)
	if !next.Empty() && !st.change.Repeats {
		t.Errorf("Plan after Apply: %v, and its Change doesn't say that it repeats", next.Items)
	}
	if next.Empty() {
		st.apply(t, next)
		st.is(t, "after Apply of an empty Change", after)
	}
}

// undoWithoutApply is what a rollback meets if the crash came between the
// record of the intent and the first effect.
func (s suite) undoWithoutApply(t *testing.T) {
	st := s.stage(t)
	st.undo(t)
	st.is(t, "after Undo without Apply", st.original)
}

func (s suite) refuses(t *testing.T, b Bad) {
	scene := s.c.Setup(t)
	b.Set(t, scene.Config)
	before := scene.Observe(t)
	attribute, err := s.refusal(t.Context(), scene.Config)
	if after := scene.Observe(t); after != before {
		t.Errorf("refusing changed the host from:\n%s\nto:\n%s", before, after)
	}
	b.isMet(t, attribute, err)
}

// fails checks that Apply fails where Plan couldn't know that it would.
func (s suite) fails(t *testing.T, b Bad) {
	scene := s.c.Setup(t)
	b.Set(t, scene.Config)
	st := stage{suite: s, scene: scene, request: s.request(t, scene.Config), original: scene.Observe(t)}
	st.change = st.plan(t)
	_, err := st.host.Apply(t.Context(), st.request, st.change, quiet{})
	b.isMet(t, attributeOf(err), err)
	if engine.HintOf(err) == "" {
		t.Errorf("it gives no hint: %v", err)
	}
	st.undo(t)
	st.is(t, "after a failed Apply and Undo", st.original)
}

// isMet fails unless err speaks of the mistake.
func (b Bad) isMet(t *testing.T, attribute string, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("it isn't refused")
	}
	if attribute != b.Attribute || !strings.Contains(err.Error(), b.Message) {
		t.Errorf("attribute %q: %v\nwant attribute %q and %q in the message", attribute, err, b.Attribute, b.Message)
	}
}

func attributeOf(err error) string {
	if e := (*engine.Error)(nil); errors.As(err, &e) {
		return e.Attribute
	}
	return ""
}

// refusal returns how a bad configuration is refused: by an attribute's check,
// or by Plan.
func (s suite) refusal(ctx context.Context, config map[string]cty.Value) (attribute string, err error) {
	req, attribute, err := s.encode(config)
	if err != nil {
		return attribute, err
	}
	_, err = s.host.Plan(ctx, req)
	return attributeOf(err), err
}

// facts are those that the step's effects speak of, read under effects.
func (st stage) facts(t *testing.T, under []engine.Effect) string {
	t.Helper()
	var all []any
	for _, e := range st.change.Effects {
		for _, path := range pathsOf(e) {
			f, err := st.host.Stat(t.Context(), path, false, under)
			if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
				continue
			}
			fatal(t, "Stat", err)
			all = append(all, []any{path, f.Exists, f.Type, f.UID, f.GID, f.Owner, f.Group, f.Mode})
		}
		if e.Unit != nil {
			f, err := st.host.Unit(t.Context(), e.Unit.Name, under)
			fatal(t, "Unit", err)
			all = append(all, []any{f.Name, f.LoadState, f.ActiveState, f.SubState})
		}
	}
	return encoded(t, all)
}

func pathsOf(e engine.Effect) []string {
	switch {
	case e.Moved != nil:
		return []string{e.Moved.From, e.Moved.To}
	case e.Created != nil:
		return []string{e.Created.Fact.Path}
	case e.Owned != nil:
		return []string{e.Owned.Path}
	case e.Copied != nil:
		return []string{e.Copied.From, e.Copied.To}
	case e.Removed != nil:
		return []string{e.Removed.Path}
	}
	return nil
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	fatal(t, "encode", err)
	return string(data)
}

// fatal ends the test if err isn't nil. An error that has lost its place and
// advice on its way is one of the contract's breaches.
func fatal(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	t.Fatalf("%s: %v (hint: %s)", what, err, engine.HintOf(err))
}

type quiet struct{}

func (quiet) Progress(engine.Progress) {}
