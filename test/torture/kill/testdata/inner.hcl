runbook "inner" {
  description = "A step of another runbook."
}

variable "root" { type = string }
variable "ledger" { type = string }

step "write_file" "note" {
  path    = "${var.root}/note"
  content = "inner\n"
}

step "command" "mark" {
  argv    = ["sh", "-c", "echo inner >>${var.ledger} && mkdir ${var.root}/inner"]
  creates = "${var.root}/inner"
  undo    = ["sh", "-c", "echo undo inner >>${var.ledger} && rm -rf ${var.root}/inner"]
}
