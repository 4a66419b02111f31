runbook "faults" { drill = true }

variable "dir" { type = string }

step "fault_remove" "lose" {
  path = "${var.dir}/data/lost"
}

step "fault_remove" "stray" {
  path         = "${var.dir}/data/member"
  replace_with = "file"
}
