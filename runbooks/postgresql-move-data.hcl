runbook "postgresql-move-data" {
  description = "Move PostgreSQL's data directory to a new disk."
  time_budget = "30m"
  on_failure  = "rollback"

  goal {
    condition = data.file.setting.exists && path("${local.to}/PG_VERSION").exists && unit(local.unit).active
    message   = "PostgreSQL runs on ${local.to} already."
  }
}

variable "version" {
  description = "PostgreSQL's major version."
  type        = string
  default     = "15"
}

variable "cluster" {
  description = "The cluster's name, as pg_lsclusters shows it."
  type        = string
  default     = "main"
}

variable "port" {
  description = "The cluster's TCP port, as pg_lsclusters shows it."
  type        = number
  default     = 5432
}

variable "disk" {
  description = "Where the new disk is mounted."
  type        = string

  validation {
    condition     = substr(self, 0, 1) == "/"
    error_message = "${self} is no absolute path"
  }
}

locals {
  unit = "postgresql@${var.version}-${var.cluster}.service"
  from = "/var/lib/postgresql/${var.version}/${var.cluster}"
  to   = "${var.disk}/${var.cluster}"
  conf = "/etc/postgresql/${var.version}/${var.cluster}/conf.d/data_directory.conf"
}

data "file" "setting" {
  path = local.conf
}

step "systemd_unit" "stop" {
  description = "Nothing may write while the data is copied."
  unit        = local.unit
  state       = "stopped"

  precondition {
    condition     = path(local.from).device != path(var.disk).device
    error_message = "${var.disk} is on the same file system as the data: is the new disk mounted?"
  }
}

step "copy" "data" {
  description = "Copy it with owners, modes and times. The old data stays where it is."
  from        = local.from
  to          = local.to
}

step "write_file" "setting" {
  description = "Tell PostgreSQL where its data is now."
  path        = local.conf
  content     = "data_directory = '${local.to}'\n"
}

step "systemd_unit" "start" {
  description = "Start it on the new disk."
  unit        = local.unit
  state       = "started"
}

step "wait_for" "answers" {
  description     = "Wait until it takes connections."
  tcp             = "127.0.0.1:${var.port}"
  timeout_seconds = 60
}
