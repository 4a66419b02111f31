package etcd

import (
	"regexp"
	"testing"
)

// What is shown of a diagnosis at first is told in lines, of members that there are.
func TestDiagnosisInBrief(t *testing.T) {
	for _, r := range diagnosisDataSpec().Results {
		if !r.Type.IsListType() || !r.Type.ElementType().IsObjectType() || r.Detail {
			continue
		}
		if r.Line == "" {
			t.Errorf("%s has no line, and is no detail", r.Name)
		}
		for _, ref := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(r.Line, -1) {
			if !r.Type.ElementType().HasAttribute(ref[1]) {
				t.Errorf("an element of %s has no %s", r.Name, ref[1])
			}
		}
	}
}
