# A backup that fails is undone, and one that is cut short is forgotten: neither
# stands in the way of the next one, nor of a recovery.
runbook "etcd-backup" {
  description = "Save a snapshot of a running etcd, prove that it is whole, and make room for the next."
  on_failure  = "rollback"
  restartable = true
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
  description = "Directory that holds the snapshots. Without it, that of the schedule, or else /var/backups/etcd. It is made where there is none."
  type        = string
  default     = null
}

variable "copies" {
  description = "Further directories that get a copy of everything, such as one on another disk."
  type        = list(string)
  default     = []
}

variable "archive" {
  description = "Files and directories to save beside the snapshot: certificates, and the configuration of encryption, without which secrets can't be read. Without it, /etc/kubernetes where etcd is a static pod, otherwise nothing."
  type        = list(string)
  default     = null
}

variable "archive_exclude" {
  description = "What of that not to save."
  type        = list(string)
  default     = ["/etc/kubernetes/tmp"]
}

variable "keep_within" {
  description = "Delete older snapshots, but for those younger than this, such as \"168h\". Without any keep_ variable nothing is deleted."
  type        = string
  default     = null
}

variable "keep_last" {
  description = "Delete older snapshots, but for so many of the newest."
  type        = number
  default     = 0
}

variable "keep_hourly" {
  description = "Delete older snapshots, but for the newest of each of so many hours."
  type        = number
  default     = 0
}

variable "keep_daily" {
  description = "Delete older snapshots, but for the newest of each of so many days."
  type        = number
  default     = 0
}

variable "keep_weekly" {
  description = "Delete older snapshots, but for the newest of each of so many weeks."
  type        = number
  default     = 0
}

variable "drill" {
  description = "Rehearse a recovery from the snapshot: restore it aside, start an etcd on it, compare every key. A snapshot that fails is set aside as one that couldn't be saved."
  type        = bool
  default     = false
}

variable "drill_scratch" {
  description = "A directory with room for the rehearsal, which leaves nothing there. A disk like that of etcd's data makes its times tell most."
  type        = string
  default     = "/var/tmp"
}

data "etcd_installation" "here" {}

data "etcd_member" "this" {
  unit     = var.unit
  manifest = var.manifest
}

locals {
  name    = "backup-${run.id}"
  dir     = coalesce(var.backup_dir, data.etcd_installation.here.backup_dirs[0])
  pod     = var.manifest != null || var.unit == null && data.etcd_installation.here.runs_as == "static_pod"
  archive = var.archive != null ? var.archive : local.pod ? ["/etc/kubernetes"] : []
  prune   = var.keep_within != null || var.keep_last + var.keep_hourly + var.keep_daily + var.keep_weekly > 0
}

step "etcd_health" "healthy" {
  description = "A backup is only worth taking of an etcd that answers."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
}

step "make_directory" "backup_dir" {
  description = "A directory for the snapshots, which only root may read."
  path        = local.dir
  parents     = true
  mode        = path(local.dir).exists ? null : "0700"
}

step "etcd_snapshot_save" "save" {
  description = "Save the snapshot beside its name, verify it, then give it its name; likewise the copies."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
  data_dir    = data.etcd_member.this.data_dir
  path        = "${local.dir}/${local.name}.db"
  copies      = var.copies
  timeout     = "10m"
}

step "etcd_snapshot_verify" "verify" {
  description = "Read it back from the disk: checksum, structure, revision."
  path        = step.save.path
}

step "etcd_snapshot_drill" "rehearse" {
  description = "Recover from it, away from etcd: would it have saved us, and how long would it have taken?"
  when        = var.drill
  snapshot    = step.save.path
  scratch     = var.drill_scratch
  data_dir    = data.etcd_member.this.data_dir
  timeout     = "1h"
}

step "archive" "keys" {
  description = "Save certificates, keys and the like beside it. The archive is as secret as they are."
  when        = length(local.archive) > 0
  path        = "${local.dir}/${local.name}.tar.gz"
  sources     = local.archive
  exclude     = var.archive_exclude
  copies      = var.copies
}

# The backup is done by now: if there is no room to be made, it stays good.
step "etcd_snapshot_prune" "prune" {
  description = "Delete old snapshots, and never the last good one."
  when        = local.prune
  on_failure  = "continue"
  directory   = local.dir
  pattern     = "backup-*.db"
  companions  = [".tar.gz"]
  keep_within = var.keep_within
  keep_last   = var.keep_last
  keep_hourly = var.keep_hourly
  keep_daily  = var.keep_daily
  keep_weekly = var.keep_weekly
}

step "etcd_snapshot_prune" "prune_copies" {
  description = "Likewise where the copies are."
  for_each    = toset(var.copies)
  when        = local.prune
  on_failure  = "continue"
  directory   = each.value
  pattern     = "backup-*.db"
  companions  = [".tar.gz"]
  keep_within = var.keep_within
  keep_last   = var.keep_last
  keep_hourly = var.keep_hourly
  keep_daily  = var.keep_daily
  keep_weekly = var.keep_weekly
}

output "snapshot" {
  description = "The snapshot's path."
  value       = step.save.path
}

output "revision" {
  description = "The newest revision in it."
  value       = step.verify.revision
}

output "recovery_seconds" {
  description = "How long a recovery from it takes, beside stopping and starting; only where it was rehearsed."
  value       = var.drill ? step.rehearse.total_seconds : null
}
