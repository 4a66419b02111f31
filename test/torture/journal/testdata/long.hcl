runbook "long" {
  description = "Everything that a journal may record."
}

variable "dir" { type = string }

data "file" "settings" { path = "${var.dir}/settings" }

step "make_directory" "room" {
  path    = "${var.dir}/srv/room"
  parents = true
}

step "write_file" "settings" {
  path    = "${var.dir}/settings"
  content = "# was ${data.file.settings.size} bytes\n${join("\n", [for i in range(40) : "setting ${i}"])}\n"
}

step "write_file" "each" {
  for_each = toset(["a", "b", "c", "d", "e", "f"])
  path     = "${var.dir}/srv/${each.key}"
  content  = "${each.key}\n"
}

step "write_file" "never" {
  when    = false
  path    = "${var.dir}/never"
  content = ""
}

step "copy" "save" {
  approve { message = "Save ${var.dir}/data?" }
  from = "${var.dir}/data"
  to   = "${var.dir}/srv/data"
}

step "move" "aside" {
  from = "${var.dir}/old"
  to   = "${var.dir}/srv/old"
}

step "wait_for" "gate" {
  postcondition {
    condition     = path("${var.dir}/open").exists
    error_message = "Not open yet."
  }
  retry {
    attempts = 2
    delay    = "1ms"
  }
}

step "fail" "by_hand" { message = "The operator sees to it." }

step "write_file" "undone_by_hand" {
  path    = "${var.dir}/last"
  content = "last\n"
  rollback "move" {
    from = "${var.dir}/last"
    to   = "${var.dir}/attic/last"
  }
}

step "write_file" "stays" {
  path    = "${var.dir}/stays"
  content = "stays\n"
  rollback "none" { reason = "It does no harm." }
}

step "archive" "pack" {
  approve { message = "Pack it?" }
  path    = "${var.dir}/srv.tar.gz"
  sources = ["${var.dir}/srv"]
}

step "remove" "stale" {
  path = "${var.dir}/stale"
}

output "saved" { value = step.save.path }
