package lang

import (
	"testing"
)

// What the parser takes is described, block by block.
func TestSchemaIsDescribed(t *testing.T) {
	described := map[string]Block{}
	for _, b := range Blocks() {
		described[b.Within+"/"+b.Name] = b
	}
	for _, b := range rootSchema.Blocks {
		if _, ok := described["/"+b.Type]; !ok {
			t.Errorf("block %s is not described", b.Type)
		}
	}
	for _, b := range stepSchema.Blocks {
		if _, ok := described["step/"+b.Type]; !ok {
			t.Errorf("block %s of a step is not described", b.Type)
		}
	}
	for _, a := range stepSchema.Attributes {
		known := false
		for _, d := range described["/step"].Attributes {
			known = known || d.Name == a.Name
		}
		if !known {
			t.Errorf("attribute %s of a step is not described", a.Name)
		}
	}
	all := functions(NewSources(Source{}), &factReader{})
	for name := range functionTexts {
		if _, ok := all[name]; !ok {
			t.Errorf("function %s is described and there is none", name)
		}
	}
}
