package engine

import (
	"encoding/json"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// ObjectType is the type of a value that has all of attrs.
func ObjectType(attrs []Attribute) cty.Type {
	types := make(map[string]cty.Type, len(attrs))
	for _, a := range attrs {
		types[a.Name] = a.Type
	}
	return cty.Object(types)
}

// EncodeConfig turns a wholly known, unmarked value of ObjectType(attrs) into
// the form in which it crosses to a host.
func EncodeConfig(attrs []Attribute, v cty.Value) (json.RawMessage, error) {
	raw, err := ctyjson.Marshal(v, ObjectType(attrs))
	if err != nil {
		return nil, Errorf("configuration", "encoding: %w", err)
	}
	return raw, nil
}

// DecodeConfig fills target, a pointer to a struct with `cty` tags, from what
// EncodeConfig made.
func DecodeConfig(attrs []Attribute, raw json.RawMessage, target any) error {
	v, err := ctyjson.Unmarshal(raw, ObjectType(attrs))
	if err != nil {
		return Errorf("configuration", "decoding: %w", err)
	}
	if err := gocty.FromCtyValue(v, target); err != nil {
		return Errorf("configuration", "decoding: %w", err)
	}
	return nil
}

// ResultValue turns r into a value of ObjectType(attrs). Results that r lacks
// become unknown where partial is set, and null otherwise.
func ResultValue(attrs []Attribute, r Result, partial bool) (cty.Value, error) {
	vals := make(map[string]cty.Value, len(attrs))
	for _, a := range attrs {
		got, ok := r[a.Name]
		if !ok {
			vals[a.Name] = cty.NullVal(a.Type)
			if partial {
				vals[a.Name] = cty.UnknownVal(a.Type)
			}
			continue
		}
		raw, err := json.Marshal(got)
		if err != nil {
			return cty.NilVal, Errorf("result "+a.Name, "encoding: %w", err)
		}
		if vals[a.Name], err = ctyjson.Unmarshal(raw, a.Type); err != nil {
			return cty.NilVal, Errorf("result "+a.Name, "decoding: %w", err)
		}
	}
	return cty.ObjectVal(vals), nil
}
