// Package wait holds the action that waits until something is so.
package wait

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Actions lists the actions that wait.
func Actions() []engine.Spec { return []engine.Spec{waitSpec} }

var waitSpec = engine.Spec{
	Name: "wait_for",
	Doc: "Waits until one thing is so: a TCP port accepts connections, a URL answers, a path exists or is gone, a unit is in a state. " +
		"One of tcp, url, path and unit is set. " +
		"None of them is where an expression tells what to wait for: the step's postconditions are looked at again and again, as its retry block says, and its timeout bounds that.",
	ReadOnly: true,
	OneOf:    []string{"tcp", "url", "path", "unit"},
	Attributes: []engine.Attribute{
		{Name: "tcp", Type: cty.String, Check: checkTCP, Doc: `Address that has to accept connections, as "host:port".`},
		{Name: "url", Type: cty.String, Check: checkURL, Doc: "URL that has to answer a GET. Redirections are not followed, proxies not used."},
		{Name: "expected_status", Type: cty.Number, Default: cty.NumberIntVal(200), Check: checkStatus, Doc: "The status that url has to answer with."},
		{Name: "ca", Type: cty.String, Check: checkPath, Doc: "Absolute path of the CA certificates, in PEM, to trust for url instead of the system's."},
		{Name: "insecure", Type: cty.Bool, Default: cty.False, Doc: "Whether to accept any certificate of url's server."},
		{Name: "path", Type: cty.String, Check: checkPath, Doc: "Absolute path that has to exist."},
		{Name: "absent", Type: cty.Bool, Default: cty.False, Doc: "Whether path has to be gone instead."},
		{Name: "unit", Type: cty.String, Check: checkUnit, Doc: "systemd unit, with its type, that has to be in the state."},
		{Name: "state", Type: cty.String, Default: cty.StringVal("active"), Check: checkState, Doc: "The state of unit to wait for: active, inactive or failed."},
		{Name: "timeout_seconds", Type: cty.Number, Default: cty.NumberIntVal(300), Check: checkPositive, Doc: "How long to wait, in seconds."},
		{Name: "interval_seconds", Type: cty.Number, Default: cty.NumberIntVal(1), Check: checkPositive, Doc: "How long to wait between two looks, in seconds."},
	},
	Results: []engine.Attribute{
		{Name: "seen", Type: cty.String, Doc: "What was seen at last; empty where only postconditions are waited for."},
		{Name: "seconds", Type: cty.Number, Doc: "How long it took; 0 where only postconditions are waited for."},
	},
	Example: `step "wait_for" "api_server" {
  url             = "https://127.0.0.1:6443/readyz"
  ca              = "/etc/kubernetes/pki/ca.crt"
  timeout_seconds = 120
}`,
	New: func() engine.Action { return new(waitFor) },
}

type waitFor struct {
	TCP      *string `cty:"tcp"`
	URL      *string `cty:"url"`
	Status   int     `cty:"expected_status"`
	CA       *string `cty:"ca"`
	Insecure bool    `cty:"insecure"`
	Path     *string `cty:"path"`
	Absent   bool    `cty:"absent"`
	Unit     *string `cty:"unit"`
	State    string  `cty:"state"`
	Timeout  int64   `cty:"timeout_seconds"`
	Interval int64   `cty:"interval_seconds"`
}

var _ engine.Action = (*waitFor)(nil)

// A look tells whether the thing is so, and what it saw.
type look func(ctx context.Context) (so bool, saw string)

// target is the one thing that is waited for.
type target struct {
	attribute, name, check string
	look                   look
}

func (a *waitFor) target() (target, error) {
	var found []target
	if a.TCP != nil {
		found = append(found, target{"tcp", *a.TCP, *a.TCP + " accepts connections", a.lookTCP})
	}
	if a.URL != nil {
		found = append(found, target{"url", *a.URL, fmt.Sprintf("%s answers with %d", *a.URL, a.Status), a.lookURL})
	}
	if a.Path != nil {
		is := map[bool]string{false: " exists", true: " is gone"}[a.Absent]
		found = append(found, target{"path", *a.Path, *a.Path + is, a.lookPath})
	}
	if a.Unit != nil {
		found = append(found, target{"unit", "unit " + *a.Unit, "unit " + *a.Unit + " is " + a.State, a.lookUnit})
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0: // the engine looks at the postconditions after each call of Apply
		return target{check: "its postconditions hold"}, nil
	}
	return target{}, engine.Errorf("wait_for", "%s and %s are both set", found[0].attribute, found[1].attribute).
		WithHint("Wait for one after the other, in two steps.").WithAttribute(found[1].attribute)
}

// Plan implements engine.Action. An earlier step may be what makes it so, so
// nothing is looked at yet.
func (a *waitFor) Plan(context.Context, engine.World) (engine.Change, error) {
	what, err := a.target()
	if err != nil {
		return engine.Change{}, err
	}
	check := what.check
	if what.look != nil {
		check += ", within " + seconds(a.Timeout).String()
	}
	return engine.Change{Checks: []string{check}}, nil
}

// Apply implements engine.Action.
func (a *waitFor) Apply(ctx context.Context, _ engine.Change, r engine.Reporter) (engine.Result, error) {
	what, err := a.target()
	if err != nil {
		return nil, err
	}
	if what.look == nil {
		return engine.Result{"seen": "", "seconds": int64(0)}, nil
	}
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, seconds(a.Timeout))
	defer cancel()
	tick := time.NewTicker(seconds(a.Interval))
	defer tick.Stop()
	last := ""
	for {
		so, saw := what.look(within)
		if last == "" || inTime(within) { // what a look shows that was cut short says little
			last = saw
		}
		if so {
			return engine.Result{"seen": saw, "seconds": int64(time.Since(began).Seconds())}, nil
		}
		r.Progress(engine.Progress{Doing: "waiting until " + what.check + ": " + last})
		select {
		case <-tick.C:
		case <-within.Done():
			return nil, a.late(ctx, what, last)
		}
	}
}

// inTime reports whether ctx goes on. Whatever ends with its deadline may do so
// a moment before ctx says it.
func inTime(ctx context.Context) bool {
	deadline, _ := ctx.Deadline()
	return ctx.Err() == nil && time.Now().Before(deadline)
}

func (a *waitFor) late(ctx context.Context, what target, last string) error {
	if ctx.Err() != nil {
		return engine.Errorf(what.name, "the wait was cut short: %w; last seen: %s", context.Cause(ctx), last).WithAttribute(what.attribute)
	}
	return engine.Errorf(what.name, "it has not come to that within %s; last seen: %s", seconds(a.Timeout), last).
		WithHint("Find out why it doesn't; if it only takes longer, raise timeout_seconds. Then resume.").WithAttribute(what.attribute)
}

// Undo implements engine.Action; there is nothing to undo.
func (a *waitFor) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

func checkTCP(v cty.Value) error {
	host, port, err := net.SplitHostPort(v.AsString())
	if err != nil || host == "" || port == "" {
		return errors.New(`an address is written "host:port", one of IPv6 "[host]:port"`)
	}
	return nil
}

func checkURL(v cty.Value) error {
	u, err := url.Parse(v.AsString())
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("a URL begins with http:// or https:// and the host's name")
	}
	return nil
}

func checkStatus(v cty.Value) error { return checkWhole(v, 100, 599) }

func checkPositive(v cty.Value) error { return checkWhole(v, 1, 1<<31) }

func checkWhole(v cty.Value, least, most int64) error {
	if n, acc := v.AsBigFloat().Int64(); acc != big.Exact || n < least || n > most {
		return fmt.Errorf("it has to be a whole number from %d to %d", least, most)
	}
	return nil
}

func checkPath(v cty.Value) error {
	if !filepath.IsAbs(v.AsString()) {
		return errors.New("the path must be absolute: it has to mean the same wherever the run is started")
	}
	return nil
}

func checkUnit(v cty.Value) error {
	name := v.AsString()
	if path.Ext(name) == "" || strings.ContainsAny(name, "/ \t\n*?[]") {
		return fmt.Errorf("a unit's name ends with its type: %s.service, perhaps", name)
	}
	return nil
}

func checkState(v cty.Value) error {
	if !slices.Contains([]string{"active", "inactive", "failed"}, v.AsString()) {
		return errors.New(`state must be "active", "inactive" or "failed"`)
	}
	return nil
}
