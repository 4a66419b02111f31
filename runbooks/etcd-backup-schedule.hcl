runbook "etcd-backup-schedule" {
  description = "Have systemd take a backup of etcd regularly, take the first one, and prove that the next will come."
  on_failure  = "rollback"

  goal {
    condition = (
      data.file.service.content == local.service &&
      data.file.timer.content == local.timer &&
      unit("${var.name}.timer").enabled && unit("${var.name}.timer").active && unit("${var.name}.timer").sub != "elapsed"
    )
    message = "The timer ${var.name}.timer is armed already, with just these settings."
  }
}

variable "on_calendar" {
  description = "When to take a backup, as systemd.time(7) has it: \"hourly\", \"*-*-* 00/6:00:00\". systemd-analyze calendar explains one."
  type        = string
  default     = "hourly"
}

variable "randomized_delay" {
  description = "By how much a backup may be late, so that not all hosts begin at once."
  type        = string
  default     = "5min"
}

variable "name" {
  description = "The name of the timer and its service, without their types."
  type        = string
  default     = "etcd-backup"

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.-]+$", self))
    error_message = "${self} is no name of a unit without its type"
  }
}

variable "binary" {
  description = "Where runbook is installed on this host."
  type        = string
  default     = "/usr/local/bin/runbook"

  validation {
    condition     = can(regex("^/[a-zA-Z0-9_./+-]+$", self))
    error_message = "${self} is no absolute path of letters, digits and _ . / + -"
  }
}

variable "unit" {
  description = "The systemd unit that runs etcd, if it isn't the one that is found."
  type        = string
  default     = null
}

variable "manifest" {
  description = "The manifest of etcd's static pod, if it isn't the one that is found."
  type        = string
  default     = null
}

variable "backup_dir" {
  description = "Directory that holds the snapshots. It is made where there is none."
  type        = string
  default     = "/var/backups/etcd"
}

variable "copies" {
  description = "Further directories that get a copy of everything, such as one on another disk. They have to exist."
  type        = list(string)
  default     = []
}

variable "archive" {
  description = "Files and directories to save beside the snapshot. Without it, /etc/kubernetes where etcd is a static pod, otherwise nothing."
  type        = list(string)
  default     = null
}

variable "archive_exclude" {
  description = "What of that not to save."
  type        = list(string)
  default     = ["/etc/kubernetes/tmp"]
}

variable "drill" {
  description = "Whether each backup is rehearsed as well: restored into a scratch directory, and an etcd booted on it."
  type        = bool
  default     = false
}

variable "keep_within" {
  description = "Keep all snapshots that are younger than this; null for no such rule. One that no rule keeps is deleted, but never the last good one."
  type        = string
  default     = "24h"
}

variable "keep_last" {
  description = "Keep so many of the newest."
  type        = number
  default     = 0
}

variable "keep_hourly" {
  description = "Keep the newest of each of so many hours."
  type        = number
  default     = 0
}

variable "keep_daily" {
  description = "Keep the newest of each of so many days."
  type        = number
  default     = 7
}

variable "keep_weekly" {
  description = "Keep the newest of each of so many weeks."
  type        = number
  default     = 4
}

data "etcd_installation" "here" {}

locals {
  unit = var.unit != null ? var.unit : var.manifest != null ? null : data.etcd_installation.here.unit

  # What etcd-backup.hcl is given, now and by the service.
  variables = {
    unit            = var.unit
    manifest        = var.manifest
    backup_dir      = var.backup_dir
    copies          = var.copies
    archive         = var.archive
    archive_exclude = var.archive_exclude
    drill           = var.drill
    keep_within     = var.keep_within
    keep_last       = var.keep_last
    keep_hourly     = var.keep_hourly
    keep_daily      = var.keep_daily
    keep_weekly     = var.keep_weekly
  }
  # The same as texts, for the service's environment.
  settings = merge(local.variables, {
    copies          = jsonencode(var.copies)
    archive         = var.archive == null ? null : jsonencode(var.archive)
    archive_exclude = jsonencode(var.archive_exclude)
  })
  environment = [
    for name, value in local.settings :
    "Environment=${replace(jsonencode("RUNBOOK_VAR_${name}=${value}"), "%", "%%")}\n" if value != null
  ]

  service_file = "/etc/systemd/system/${var.name}.service"
  timer_file   = "/etc/systemd/system/${var.name}.timer"

  service = <<-EOT
    # Written by runbook etcd-backup-schedule.
    [Unit]
    Description=Save a snapshot of etcd
    After=${local.unit != null ? local.unit : "kubelet.service"}

    [Service]
    Type=oneshot
    ExecStart=${var.binary} run etcd-backup.hcl --yes
    Nice=10
    IOSchedulingClass=idle
    ${join("", local.environment)}
  EOT

  timer = <<-EOT
    # Written by runbook etcd-backup-schedule.
    [Unit]
    Description=Save a snapshot of etcd regularly

    [Timer]
    OnCalendar=${var.on_calendar}
    RandomizedDelaySec=${var.randomized_delay}
    AccuracySec=1s
    Persistent=true

    [Install]
    WantedBy=timers.target
  EOT
}

data "file" "service" {
  path = local.service_file
}

data "file" "timer" {
  path = local.timer_file
}

step "make_directory" "backup_dir" {
  description = "A directory for the snapshots, which only root may read."
  path        = var.backup_dir
  parents     = true
  mode        = path(var.backup_dir).exists ? null : "0700"

  precondition {
    condition     = path(var.binary).exists
    error_message = "There is no ${var.binary}. Install runbook there, or say where it is with --var binary=…"
  }
}

step "write_file" "service" {
  description = "The service that takes one backup, with what it is given."
  path        = local.service_file
  content     = local.service
}

step "write_file" "timer" {
  description = "The timer that starts it."
  path        = local.timer_file
  content     = local.timer
}

# In this run rather than by the service, which would wait for this run to end:
# one run at a time works on a machine.
step "runbook" "first_backup" {
  description = "Take the first backup just as the service will, and prove that it is whole."
  source      = "etcd-backup.hcl"
  variables   = local.variables
}

step "systemd_unit" "arm" {
  description   = "Start the timer, now and whenever the machine starts."
  unit          = "${var.name}.timer"
  daemon_reload = true
  enabled       = true
  state         = "restarted"

  postcondition {
    condition     = contains(["waiting", "running"], self.sub_state)
    error_message = "The timer will never elapse: it is ${self.sub_state}. Does on_calendar lie in the past? See: systemd-analyze calendar '${var.on_calendar}'"
  }

  postcondition {
    condition     = unit("${var.name}.service").loaded
    error_message = "systemd has not loaded ${var.name}.service, which the timer starts. See: systemctl status ${var.name}.service"
  }
}

output "snapshot" {
  description = "The first snapshot's path."
  value       = step.first_backup.snapshot
}
