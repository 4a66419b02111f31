# Thirty steps and a few more, of every kind that has to survive being killed:
# rounds, attempts, approvals, rollback blocks, another runbook, units, and
# programs whose effects are counted in a ledger.

runbook "thirty" {
  description = "Move a service to another place, with everything that a step can have."
}

variable "password" {
  description = "Goes into a file, and nowhere else."
  type        = string
  sensitive   = true
}

variable "base" {
  description = "Where the service's tree is, and the ledger of what programs have done."
  type        = string
}

variable "suffix" {
  description = "What the names of the units end with."
  type        = string
}

data "file" "origin" {
  path = "${var.base}/tree/origin"
}

locals {
  root   = "${var.base}/tree"
  ledger = "${var.base}/ledger"
  data   = "${var.base}/tree/data"
  config = {
    absent = { mode = "0640", text = "listen = 1\n" }
    other  = { mode = "0600", text = "listen = 2\n" }
    same   = { mode = "0755", text = "listen = 3\n" }
    copied = { mode = "0644", text = "from ${trimspace(data.file.origin.content)}\n" }
  }
}

step "make_directory" "place" {
  path    = "${local.root}/new/place"
  mode    = "2750"
  owner   = "daemon:4000"
  parents = true
}

step "write_file" "config" {
  for_each = local.config
  path     = "${local.root}/etc/${each.key}"
  mode     = each.value.mode
  owner    = "daemon:4000"
  content  = each.value.text

  postcondition {
    condition     = path("${local.root}/etc/${each.key}").size == length(each.value.text)
    error_message = "${self.path} is not what was written."
  }
}

step "write_file" "secret" {
  path    = "${local.root}/etc/secret"
  mode    = "0600"
  content = "password = ${var.password}\n"
}

step "copy" "save" {
  from = local.data
  to   = "${local.root}/saved"

  precondition {
    condition     = path(local.data).free > 1024 * 1024
    error_message = "There is no room for a copy."
  }
}

step "chown" "own" {
  path      = "${local.root}/owned"
  owner     = "daemon:4000"
  recursive = true
}

step "archive" "pack" {
  path    = "${local.root}/pack.tar.gz"
  sources = [local.data]
  copies  = ["${local.root}/etc"]
}

step "remove" "stale" {
  path = "${local.root}/stale"
}

step "make_directory" "narrow" {
  path  = "${local.root}/wide"
  mode  = "0700"
  owner = "daemon:4000"
}

step "copy" "replace" {
  from    = "${local.root}/origin"
  to      = "${local.root}/etc/origin"
  replace = true
}

step "systemd_unit" "stop" {
  unit  = "service-${var.suffix}.service"
  state = "stopped"
}

step "move" "aside" {
  from = "${local.root}/spare"
  to   = "${local.root}/spare.old"

  approve {
    message = "The copy is at ${step.save.path}. Put the spare one aside?"
  }
}

step "move" "hide" {
  from = "${local.root}/plain"
  to   = "${local.root}/.plain"

  rollback "move" {
    from = self.path
    to   = "${local.root}/plain"
  }
}

step "write_file" "helper_unit" {
  path    = "/etc/systemd/system/helper-${var.suffix}.service"
  content = <<-EOT
    [Unit]
    Description=Started by a step, and counted
    StartLimitIntervalSec=0

    [Service]
    Type=exec
    RuntimeDirectory=%N
    ExecStartPre=sh -c "echo helper >>/var/lib/kill/%j/ledger"
    ExecStart=sleep infinity

    [Install]
    WantedBy=multi-user.target
  EOT
}

step "systemd_unit" "helper" {
  unit          = "helper-${var.suffix}.service"
  daemon_reload = true
  enabled       = true
  state         = "started"
}

step "wait_for" "helper_ready" {
  path            = "/run/helper-${var.suffix}"
  timeout_seconds = 60
}

step "wait_for" "helper_seen" {
  retry {
    attempts = 600
    delay    = "100ms"
  }
  postcondition {
    condition     = unit("helper-${var.suffix}.service").active && path("/run/helper-${var.suffix}").type == "directory"
    error_message = "The helper is not there yet."
  }
}

step "systemd_unit" "mask" {
  unit   = "unwanted-${var.suffix}.service"
  state  = "stopped"
  masked = true
}

step "systemd_unit" "start" {
  unit  = "service-${var.suffix}.service"
  state = "started"
}

step "move" "never" {
  when = false
  from = "${local.root}/origin"
  to   = "${local.root}/lost"
}

step "runbook" "inner" {
  source    = "inner.hcl"
  variables = { root = local.root, ledger = local.ledger }
}

# It is done where its directory is there, whoever saw its end.
step "command" "mark" {
  argv    = ["sh", "-c", "echo mark >>${local.ledger} && mkdir ${local.root}/marked"]
  creates = "${local.root}/marked"
  undo    = ["sh", "-c", "echo undo mark >>${local.ledger} && rm -rf ${local.root}/marked"]
}

# Nothing but its watcher tells whether it was done.
step "command" "count" {
  argv = ["sh", "-c", "echo count >>${local.ledger}"]
  undo = ["sh", "-c", "echo undo count >>${local.ledger}"]

  approve {
    message = "Count it?"
  }
}

# The third attempt succeeds.
step "command" "flaky" {
  argv = ["sh", "-c", "echo try >>${local.ledger} && test $(grep -c ^try ${local.ledger}) -ge 3 && echo flaky >>${local.ledger}"]

  retry {
    attempts = 4
    delay    = "10ms"
  }
  rollback "command" {
    argv = ["sh", "-c", "echo undo flaky >>${local.ledger}"]
  }
}

step "command" "each" {
  for_each = toset(["a", "b"])
  argv     = ["sh", "-c", "sleep 0.1 && echo each ${each.key} >>${local.ledger} && touch ${local.root}/each-${each.key}"]
  probe    = ["test", "-e", "${local.root}/each-${each.key}"]

  rollback "command" {
    argv = ["sh", "-c", "echo undo each ${each.key} >>${local.ledger} && rm -f ${local.root}/each-${each.key}"]
  }
}

step "command" "told" {
  argv = ["sh", "-c", "sleep 0.1 && echo told >>${local.ledger}"]

  rollback "none" {
    reason = "Who was told can't be made to forget."
  }
}

step "systemd_unit" "restart" {
  unit  = "helper-${var.suffix}.service"
  state = "restarted"

  postcondition {
    condition     = self.active_state == "active"
    error_message = "The helper is ${self.active_state}."
  }
}

output "where" {
  value = step.save.path
}
