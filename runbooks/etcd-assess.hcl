runbook "etcd-assess" {
  description = "Look at a broken etcd, change nothing, and say which cure loses least, with the commands to type."
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

variable "backup_dirs" {
  description = "The directories that hold backups. Without them, those of the schedule and the usual ones."
  type        = list(string)
  default     = null
}

variable "interval_seconds" {
  description = "How often a backup should be made, in seconds."
  type        = number
  default     = 3600
}

data "etcd_installation" "here" {}

data "etcd_diagnosis" "now" {
  unit     = var.unit
  manifest = var.manifest
  backups  = local.backup_dirs
}

data "etcd_backups" "all" {
  directories      = local.backup_dirs
  interval_seconds = var.interval_seconds
  version          = data.etcd_diagnosis.now.version == "" ? null : data.etcd_diagnosis.now.version
}

data "etcd_loss" "if_restored" {
  data_dir = data.etcd_diagnosis.now.data_dir
  wal_dir  = data.etcd_diagnosis.now.wal_dir
  snapshot = data.etcd_backups.all.newest == "" ? null : data.etcd_backups.all.newest
}

locals {
  backup_dirs = coalesce(var.backup_dirs, data.etcd_installation.here.backup_dirs)

  # What to give etcd-recover.hcl so that it looks at the same.
  given = join("", [
    var.unit == null ? "" : " --var unit=${var.unit}",
    var.manifest == null ? "" : " --var manifest=${var.manifest}",
    var.backup_dirs == null ? "" : " --var 'backup_dirs=${jsonencode(var.backup_dirs)}'",
  ])
  wanted = data.etcd_diagnosis.now.recommended != "" || length(data.etcd_diagnosis.now.causes) > 0 || !data.etcd_diagnosis.now.healthy
}

output "findings" {
  value = [for f in data.etcd_diagnosis.now.findings : "${f.severity}: ${f.finding} ${f.advice}"]
}

output "ladder" {
  value = [for rung in data.etcd_diagnosis.now.ladder : rung.possible ? "${rung.cure}: ${rung.why}. It would lose ${rung.loss}." : "${rung.cure}: not possible, ${rung.why}."]
}

output "backups" {
  value = "${data.etcd_backups.all.good} of ${data.etcd_backups.all.count} are good, the newest is ${data.etcd_backups.all.newest == "" ? "none" : data.etcd_backups.all.newest}${data.etcd_backups.all.overdue ? ", and it is overdue" : ""}"
}

output "a_restore_would_lose" {
  value = data.etcd_loss.if_restored.summary
}

output "recommended" {
  value = data.etcd_diagnosis.now.recommended
}

output "advice" {
  value = data.etcd_diagnosis.now.advice
}

output "commands" {
  value = local.wanted ? "runbook run etcd-recover.hcl${local.given}" : "none: etcd is running, and nothing wants a cure"
}
