package actions_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/systemd"
	"runbook/engine"
	"runbook/test/contract"
)

// dbusCalls carry the requests to systemd.
var dbusCalls = []string{"write", "sendmsg"}

func unitCases() []contract.Case {
	return append(unitFileCases(), []contract.Case{
		{Name: "start a stopped unit", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: unitScene("started", down), Bad: badUnit()},
		{Name: "start a failed unit", Action: "systemd_unit", Syscalls: dbusCalls, Setup: unitScene("started", failed)},
		{Name: "stop a running unit", Action: "systemd_unit", Syscalls: dbusCalls, Setup: unitScene("stopped", up)},
		{Name: "stop a unit that crashes again and again", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: unitScene("stopped", crashing)},
		{Name: "restart a running unit", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: unitScene("restarted", up)},
		{Name: "restart a stopped unit", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: unitScene("restarted", down)},
	}...)
}

// The states that a scene's unit is in at first.
type unitState string

const (
	up       unitState = "up"
	down     unitState = "down"
	failed   unitState = "failed"
	crashing unitState = "crashing"
)

const (
	unitName = "contract.service"
	starts   = "/run/contract-starts" // a line for each start of the unit
	works    = "/run/contract-works"  // without it, the unit fails
)

// unitFile is a unit that counts its starts before it is up.
const unitFile = `[Unit]
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStartPre=/bin/sh -c 'echo start >>` + starts + `; test -e ` + works + `'
ExecStart=/bin/sleep infinity
Restart=%s
RestartSec=1h
`

func unitScene(want string, is unitState) func(*testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		prepareUnit(t, is)
		return contract.Scene{
			Config:  config{"unit": cty.StringVal(unitName), "state": cty.StringVal(want)},
			Observe: observeUnit,
			Count: func(t *testing.T) string {
				text, err := os.ReadFile(starts)
				must(t, err)
				return fmt.Sprintf("%d starts", strings.Count(string(text), "start"))
			},
		}
	}
}

func prepareUnit(t *testing.T, is unitState) {
	t.Helper()
	install(t, map[bool]string{true: "always", false: "no"}[is == crashing])
	systemctl(t, "stop", unitName)
	_ = exec.Command("systemctl", "reset-failed", unitName).Run() // it fails where nothing had failed
	must(t, os.RemoveAll(works))
	switch is {
	case up:
		must(t, os.WriteFile(works, nil, 0o600))
		systemctl(t, "start", unitName)
	case failed, crashing:
		_ = exec.Command("systemctl", "start", unitName).Run() // so it has to
	}
	must(t, os.WriteFile(starts, nil, 0o600))
	if is != crashing {
		must(t, os.WriteFile(works, nil, 0o600))
	}
}

// install writes the unit's file where it isn't there yet.
func install(t *testing.T, restart string) {
	t.Helper()
	path := filepath.Join("/etc/systemd/system", unitName)
	text := fmt.Sprintf(unitFile, restart)
	if now, err := os.ReadFile(path); err == nil && string(now) == text {
		return
	}
	must(t, os.WriteFile(path, []byte(text), 0o644))
	systemctl(t, "daemon-reload")
}

// job matches what systemctl show says of a unit with a job.
var job = regexp.MustCompile(`(?m)^Job=[1-9]`)

// observeUnit tells whether systemd wants the unit to run, once it has no more
// to do for it. Of a unit that keeps crashing, each look would see another
// moment.
func observeUnit(t *testing.T) string {
	t.Helper()
	for t.Context().Err() == nil {
		out, err := exec.Command("systemctl", "show", "-p", "Job,ActiveState,LoadState", unitName).Output()
		must(t, err)
		if !job.Match(out) {
			return strings.NewReplacer("failed", "down", "inactive", "down", "activating", "up", "active", "up").Replace(string(out))
		}
	}
	t.Fatal(t.Context().Err())
	return ""
}

func badUnit() []contract.Bad {
	return []contract.Bad{
		{Name: "no type", Set: set("unit", "contract"), Attribute: "unit", Message: "contract.service, perhaps"},
		{Name: "template", Set: set("unit", "getty@.service"), Attribute: "unit", Message: "name one of its instances"},
		{Name: "state", Set: set("state", "running"), Attribute: "state", Message: `"started", "stopped", "restarted" or "reloaded"`},
		{Name: "nothing asked", Set: setTo("state", cty.NullVal(cty.String)), Attribute: "unit", Message: "nothing is asked of it"},
		{Name: "masked and started", Set: setTo("masked", cty.True), Attribute: "masked", Message: "can neither run nor be enabled"},
		{Name: "static", Set: setTo("enabled", cty.True), Attribute: "enabled", Message: "its unit file is static"},
		{Name: "reload of a stopped unit", Set: set("state", "reloaded"), Attribute: "state", Message: "is not running"},
		{Name: "mask over a file", Attribute: "masked", Message: "is where its mask would be", Set: func(_ *testing.T, c config) {
			delete(c, "state")
			c["masked"] = cty.True
		}},
		{Name: "unknown", Set: set("unit", "no-such.service"), Attribute: "unit", Message: "knows no such unit"},
		{Name: "masked", Attribute: "unit", Message: "is masked", Set: func(t *testing.T, c config) {
			systemctl(t, "mask", "--runtime", "masked.service")
			c["unit"] = cty.StringVal("masked.service")
		}},
	}
}

func systemctl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
		t.Fatalf("systemctl %v: %v\n%s", args, err, out)
	}
}

type silent struct{}

func (silent) Progress(engine.Progress) {}

func unitConfig(name, state string) cty.Value {
	return cty.ObjectVal(config{
		"unit": cty.StringVal(name), "state": cty.StringVal(state), "daemon_reload": cty.False,
		"enabled": cty.NullVal(cty.Bool), "masked": cty.NullVal(cty.Bool),
	})
}

// unitAction returns a systemd_unit step and its Change, planned.
func unitAction(t *testing.T, want string) (engine.Action, engine.Change) {
	t.Helper()
	spec := systemd.Actions()[0]
	raw, err := engine.EncodeConfig(spec.Attributes, unitConfig(unitName, want))
	must(t, err)
	a := spec.New()
	must(t, engine.DecodeConfig(spec.Attributes, raw, a))
	c, err := a.Plan(t.Context(), world{})
	must(t, err)
	return a, c
}

// world is a World that knows units only.
type world struct{ engine.World }

func (world) Unit(ctx context.Context, name string) (engine.UnitFact, error) {
	return systemd.Facts{}.Unit(ctx, name)
}

func TestFailedStartIsExplained(t *testing.T) {
	prepareUnit(t, down)
	must(t, os.Remove(works))
	a, c := unitAction(t, "started")
	_, err := a.Apply(t.Context(), c, silent{})
	if err == nil {
		t.Fatal("a unit that can't start was started")
	}
	for _, part := range []string{"unit " + unitName, `ended with "failed"`, "exit-code"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
	if hint := engine.HintOf(err); !strings.Contains(hint, "journalctl -u "+unitName) {
		t.Errorf("hint: %q", hint)
	}
}

// Why a service ended, it has said itself, before all that systemd said of it, and
// before systemd started it again.
func TestLastWordsAreTheServices(t *testing.T) {
	first := filepath.Join(t.TempDir(), "first")
	must(t, os.WriteFile("/etc/systemd/system/"+unitName, []byte(
		"[Service]\nType=notify\nRestart=on-failure\nRestartSec=1ms\nExecStart=/bin/sh -c '"+
			"if mkdir "+first+"; then echo there is no room for it; exit 1; fi; "+
			"for i in 1 2 3 4 5 6; do echo again; done; exec sleep infinity'\n"), 0o644))
	systemctl(t, "daemon-reload")
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", unitName).Run() }) // it may have failed
	a, c := unitAction(t, "started")
	_, err := a.Apply(t.Context(), c, silent{})
	if err == nil || !strings.Contains(err.Error(), "there is no room for it") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledStopReturns(t *testing.T) {
	must(t, os.WriteFile("/etc/systemd/system/"+unitName, []byte(
		"[Service]\nType=exec\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep infinity\nTimeoutStopSec=20s\n"), 0o644))
	systemctl(t, "daemon-reload")
	systemctl(t, "start", unitName)
	t.Cleanup(func() { systemctl(t, "kill", "--signal=KILL", unitName); systemctl(t, "stop", unitName) })
	a, c := unitAction(t, "stopped")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := a.Apply(ctx, c, silent{})
	if err == nil || !strings.Contains(err.Error(), "had not ended") {
		t.Errorf("got %v", err)
	}
}

func TestSimilarUnitsAreNamed(t *testing.T) {
	prepareUnit(t, down)
	spec := systemd.Actions()[0]
	raw, err := engine.EncodeConfig(spec.Attributes, unitConfig("contrac.service", "stopped"))
	must(t, err)
	a := spec.New()
	must(t, engine.DecodeConfig(spec.Attributes, raw, a))
	_, err = a.Plan(t.Context(), world{})
	if hint := engine.HintOf(err); !strings.Contains(hint, unitName) {
		t.Errorf("hint %q doesn't name %s", hint, unitName)
	}
}
