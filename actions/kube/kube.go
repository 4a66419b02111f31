// Package kube looks at a Kubernetes API server and at what lives in it, and
// changes that.
package kube

import (
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"k8s.io/apimachinery/pkg/labels"

	"runbook/engine"
)

// Actions lists the actions on Kubernetes.
func Actions() []engine.Spec {
	return []engine.Spec{
		accessSpec(), applySpec(), compareSpec(), execSpec(), readySpec(), restartSpec(), waitSpec(),
	}
}

// Data lists the data sources on Kubernetes.
func Data() []engine.DataSpec {
	return []engine.DataSpec{eventsSpec(), inventorySpec(), podsSpec()}
}

// connectionAttributes are those by which the API server is found.
func connectionAttributes() []engine.Attribute {
	return []engine.Attribute{
		{Name: "kubeconfig", Type: cty.String, Default: cty.StringVal("/etc/kubernetes/admin.conf"), Check: checkPath,
			Doc: "Absolute path of the kubeconfig, which has to be there once the step is carried out."},
		{Name: "context", Type: cty.String, Check: checkText, Doc: "The context of the kubeconfig; its current one where this isn't set."},
	}
}

// waitingAttributes are those of whatever waits.
func waitingAttributes(timeout int64) []engine.Attribute {
	return []engine.Attribute{
		{Name: "timeout_seconds", Type: cty.Number, Default: cty.NumberIntVal(timeout), Check: checkPositive, Doc: "How long to wait, in seconds."},
		{Name: "interval_seconds", Type: cty.Number, Default: cty.NumberIntVal(2), Check: checkPositive, Doc: "How long to wait between two looks at most, in seconds; the first follow each other faster."},
	}
}

func checkPath(v cty.Value) error {
	if !filepath.IsAbs(v.AsString()) {
		return errors.New("the path must be absolute: it has to mean the same wherever the run is started")
	}
	return nil
}

func checkPaths(v cty.Value) error {
	return each(v, func(s string) error { return checkPath(cty.StringVal(s)) })
}

func checkText(v cty.Value) error {
	if strings.TrimSpace(v.AsString()) == "" {
		return errors.New("it must not be empty")
	}
	return nil
}

func checkTexts(v cty.Value) error {
	return each(v, func(s string) error { return checkText(cty.StringVal(s)) })
}

func checkSome(v cty.Value) error {
	if v.LengthInt() == 0 {
		return errors.New("it must not be empty")
	}
	return checkTexts(v)
}

func checkSelector(v cty.Value) error {
	if err := checkText(v); err != nil {
		return err
	}
	_, err := labels.Parse(v.AsString())
	return err
}

func checkPositive(v cty.Value) error { return checkWhole(v, 1, 1<<31) }

func checkCount(v cty.Value) error { return checkWhole(v, 0, 1<<31) }

func checkWhole(v cty.Value, least, most int64) error {
	if n, acc := v.AsBigFloat().Int64(); acc != big.Exact || n < least || n > most {
		return fmt.Errorf("it has to be a whole number from %d to %d", least, most)
	}
	return nil
}

// each checks the texts of a list.
func each(v cty.Value, check func(string) error) error {
	for _, e := range v.AsValueSlice() {
		if e.IsNull() {
			return errors.New("none of them may be null")
		}
		if err := check(e.AsString()); err != nil {
			return err
		}
	}
	return nil
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
