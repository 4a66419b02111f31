package run

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/lang"
)

// planFile is a plan on disk: what a journal's header would hold, and a
// checksum over it. Member order makes the file begin with planMagic.
type planFile struct {
	Kind   string          `json:"runbook_plan"` // of the format
	Sum    string          `json:"sha256"`
	Header json.RawMessage `json:"header"`
}

const (
	planMagic  = `{"runbook_plan":`
	planFormat = "1"
)

// MostPlan is how large a plan file may be, in bytes.
const MostPlan = 64 << 20

// IsPlanFile reports whether a file's content is a plan and no runbook.
func IsPlanFile(text string) bool { return strings.HasPrefix(text, planMagic) }

// EncodePlan makes a file of a plan. Sensitive values are left out of it.
func EncodePlan(host engine.Host, scope *lang.Scope, plan *Plan, version string) ([]byte, error) {
	r := &Runner{host: host, scope: scope, secrets: plan.secrets.anew()}
	head, err := r.header(plan, version)
	if err != nil {
		return nil, err
	}
	if head, err = r.hidden(head); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(planFile{Kind: planFormat, Sum: sumOf(raw), Header: raw})
	return append(text, '\n'), err
}

func sumOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// PlanHeader reads what a plan file says of itself: where, when and of what it
// was made.
func PlanHeader(text []byte) (h Header, err error) {
	raw, err := planHeader(text)
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	if err == nil && h.Plan == nil {
		err = damagedPlan("there is no plan in it")
	}
	return h, err
}

// planHeader returns the header of a plan file that is whole.
func planHeader(text []byte) (json.RawMessage, error) {
	var f planFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, damagedPlan(err.Error())
	}
	if f.Kind != planFormat {
		return nil, engine.Errorf("plan", "it has format %q, and this version of runbook reads format %q", f.Kind, planFormat).
			WithHint("Make a new plan")
	}
	if got := sumOf(f.Header); got != f.Sum {
		return nil, damagedPlan("checksum mismatch")
	}
	return f.Header, nil
}

// DecodePlan reads a plan file. set holds the sensitive variables, which it
// leaves out. The error may be a *lang.Error.
func DecodePlan(text []byte, host engine.Host, reg *engine.Registry, set lang.Settings) (*lang.Scope, *Plan, error) {
	header, err := planHeader(text)
	if err != nil {
		return nil, nil, err
	}
	r := &Runner{host: host, secrets: newSecrets("")}
	r.state = r.newState()
	read := func(take visit) error { return take(journal.Record{Seq: 1, Kind: kindRun, Data: header}) }
	if err = read(r.state.take); err == nil {
		err = r.restore(read, reg, set)
	}
	if err != nil {
		return nil, nil, err
	}
	if head := r.state.Header; head.Host != host.Name() {
		return nil, nil, engine.Errorf("plan", "it was made on host %s, and this is %s", head.Host, host.Name()).
			WithHint("A plan is carried out where it was made. Make a new one here")
	}
	plan := r.state.Header.Plan
	plan.secrets, plan.file = r.secrets, r.state.Header.File
	return r.scope, plan, nil
}

func damagedPlan(why string) error {
	return engine.Errorf("plan", "the file is damaged: %s", why).WithHint("Make a new plan")
}
