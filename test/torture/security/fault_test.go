package security

import "testing"

// faultDeeds do damage on purpose, to what is meant alone.
var faultDeeds = []deed{
	{name: "fault_truncate", drill: true, steps: `
step "fault_truncate" "it" {
  path       = "DIR/u/d/conf"
  size_bytes = 3
  keep_in    = "DIR/out"
}`},
	{name: "fault_truncate, all", drill: true, steps: `
step "fault_truncate" "it" {
  path    = "DIR/u/d/*"
  keep_in = "DIR/u/d"
}`},
	{name: "fault_scribble", drill: true, steps: `
step "fault_scribble" "it" {
  path    = "DIR/u/d/conf"
  length  = 5
  keep_in = "DIR/out"
}`},
	{name: "fault_scribble, further down", drill: true, steps: `
step "fault_scribble" "it" {
  path    = "DIR/u/d/tree/f"
  keep_in = "DIR/u/d/sub"
}`},
	{name: "fault_remove", drill: true, steps: `
step "fault_remove" "file" {
  path         = "DIR/u/d/conf"
  replace_with = "file"
}
step "fault_remove" "directory" {
  path         = "DIR/u/d/tree"
  replace_with = "directory"
}`},
	{name: "fault_fill_disk", drill: true, steps: `
step "fault_fill_disk" "it" {
  path        = "DIR/u/d"
  leave_bytes = 1070000000
}`},
}

// The same of what does damage in a drill.
func TestNobodyLeadsAFaultAway(t *testing.T) {
	for _, d := range faultDeeds {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			newScene(t).standUp(d)
		})
	}
}
