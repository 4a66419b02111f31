package lang

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"runbook/engine"
)

// factReader answers path() and unit() within one expression and remembers
// the step that an unknown answer waits for.
type factReader struct {
	facts   Facts
	hash    bool
	unknown string
	locals  map[localUse]localValue // worked out so far
}

// pathType is what path() returns.
var pathType = cty.Object(map[string]cty.Type{
	"exists": cty.Bool, "type": cty.String,
	"owner": cty.String, "group": cty.String, "uid": cty.Number, "gid": cty.Number, "mode": cty.String,
	"size": cty.Number, "free": cty.Number, "device": cty.Number, "modified": cty.String, "sha256": cty.String,
})

// unitType is what unit() returns.
var unitType = cty.Object(map[string]cty.Type{
	"loaded": cty.Bool, "active": cty.Bool, "enabled": cty.Bool,
	"state": cty.String, "sub": cty.String, "pid": cty.Number, "invocation_id": cty.String,
})

func (f *factReader) pathFunction() function.Function {
	return function.New(&function.Spec{
		Description: "The facts of a path on the step's host, read fresh: exists, type, owner, group, uid, gid, mode, size and free in bytes, device, modified, sha256.",
		Params:      []function.Parameter{{Name: "path", Type: cty.String}},
		Type:        function.StaticReturnType(pathType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if f.facts == nil {
				return cty.UnknownVal(pathType), nil
			}
			fact, err := f.facts.Path(args[0].AsString(), f.hash)
			if err != nil {
				return f.unknownOr(err, pathType)
			}
			return pathValue(fact), nil
		},
	})
}

func (f *factReader) unitFunction() function.Function {
	return function.New(&function.Spec{
		Description: "The facts of a systemd unit on the step's host, read fresh: loaded, active, enabled, state, sub, pid, invocation_id.",
		Params:      []function.Parameter{{Name: "name", Type: cty.String}},
		Type:        function.StaticReturnType(unitType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if f.facts == nil {
				return cty.UnknownVal(unitType), nil
			}
			fact, err := f.facts.Unit(args[0].AsString())
			if err != nil {
				return f.unknownOr(err, unitType)
			}
			return unitValue(fact), nil
		},
	})
}

func (f *factReader) unknownOr(err error, t cty.Type) (cty.Value, error) {
	var unknown *engine.UnknownError
	if errors.As(err, &unknown) {
		f.unknown = unknown.Step
		return cty.UnknownVal(t), nil
	}
	return cty.NilVal, err
}

func pathValue(p engine.PathFact) cty.Value {
	ifThere := func(v cty.Value) cty.Value {
		if !p.Exists {
			return cty.NullVal(v.Type())
		}
		return v
	}
	sum := cty.NullVal(cty.String)
	if p.SHA256 != "" {
		sum = cty.StringVal(p.SHA256)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"exists":   cty.BoolVal(p.Exists),
		"type":     ifThere(cty.StringVal(p.Type)),
		"owner":    ifThere(cty.StringVal(p.Owner)),
		"group":    ifThere(cty.StringVal(p.Group)),
		"uid":      ifThere(cty.NumberIntVal(int64(p.UID))),
		"gid":      ifThere(cty.NumberIntVal(int64(p.GID))),
		"mode":     ifThere(cty.StringVal(fmt.Sprintf("%04o", p.Mode))),
		"size":     ifThere(cty.NumberIntVal(p.Size)),
		"free":     cty.NumberIntVal(p.Free),
		"device":   ifThere(cty.NumberUIntVal(p.Device)),
		"modified": ifThere(cty.StringVal(p.ModTime.UTC().Format(time.RFC3339))),
		"sha256":   sum,
	})
}

func unitValue(u engine.UnitFact) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"loaded":        cty.BoolVal(u.LoadState == "loaded"),
		"active":        cty.BoolVal(u.ActiveState == "active"),
		"enabled":       cty.BoolVal(u.UnitFileState == "enabled"),
		"state":         cty.StringVal(u.ActiveState),
		"sub":           cty.StringVal(u.SubState),
		"pid":           cty.NumberIntVal(int64(u.MainPID)),
		"invocation_id": cty.StringVal(u.InvocationID),
	})
}

// wantsHash reports whether expr asks for the sha256 of a path: hashing a
// large file just in case would make every path() slow.
func wantsHash(expr hcl.Expression) bool {
	node, ok := expr.(hclsyntax.Node)
	if !ok {
		return false
	}
	found := false
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		switch n := n.(type) {
		case *hclsyntax.RelativeTraversalExpr:
			found = found || namesHash(n.Traversal)
		case *hclsyntax.ScopeTraversalExpr:
			found = found || namesHash(n.Traversal)
		case *hclsyntax.SplatExpr, *hclsyntax.ForExpr, *hclsyntax.IndexExpr:
			found = true // the attribute may be taken out of sight
		}
		return nil
	})
	return found
}

func namesHash(steps hcl.Traversal) bool {
	for _, t := range steps {
		switch t := t.(type) {
		case hcl.TraverseAttr:
			if t.Name == "sha256" {
				return true
			}
		case hcl.TraverseIndex:
			if t.Key.Type() == cty.String && t.Key.AsString() == "sha256" {
				return true
			}
		}
	}
	return false
}

// factIn names a fact function that expr calls, directly or behind a local
// value; empty if there is none.
func (r *Runbook) factIn(expr hcl.Expression) string {
	found := factCalled(expr)
	for _, ref := range r.closure(expr) {
		if l := r.local(ref.name); ref.root == "local" && l != nil && found == "" {
			found = factCalled(l.Expr)
		}
	}
	return found
}

func factCalled(expr hcl.Expression) string {
	node, ok := expr.(hclsyntax.Node)
	if !ok {
		return ""
	}
	found := ""
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && (call.Name == "path" || call.Name == "unit") {
			found = call.Name
		}
		return nil
	})
	return found
}
