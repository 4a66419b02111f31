# A disk that fails: the beginning of the database is nonsense, and the log is gone.
runbook "drill-db-overwritten" {
  description = "Drill: the first MiB of the database is overwritten and the log removed. Then recover, and tell the score."
  drill       = true
  time_budget = "15m"
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

variable "within_seconds" {
  description = "How long all of it may take, in seconds."
  type        = number
  default     = 900
}

data "etcd_installation" "here" {}

data "etcd_member" "this" {
  unit     = var.unit
  manifest = var.manifest
}

data "etcd_backups" "all" {
  directories = local.backup_dirs
}

locals {
  here        = data.etcd_installation.here
  backup_dirs = coalesce(var.backup_dirs, local.here.backup_dirs)
}

step "etcd_health" "well_before" {
  description = "A drill begins with an etcd that is well, and a backup that is good."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls

  precondition {
    condition     = data.etcd_backups.all.good > 0
    error_message = "There is no good backup in ${join(", ", local.backup_dirs)}. Take one first: runbook run etcd-backup.hcl"
  }
}

step "fault_scribble" "database" {
  path   = "${data.etcd_member.this.data_dir}/member/snap/db"
  length = 1048576
}

step "fault_remove" "log" {
  path = "${data.etcd_member.this.data_dir}/member/wal"
}

step "fault_kill_process" "crash" {
  description = "etcd has to start anew, and meets the damage."
  name        = "etcd"
}

step "runbook" "recover" {
  description = "Look, and take the cure that loses least."
  source      = "../recover/attempt.hcl"
  late        = true
  variables   = { unit = var.unit, manifest = var.manifest, backup_dirs = var.backup_dirs }
}

step "kubernetes_ready" "cluster_is_ready" {
  description     = "The API server is ready, and the nodes report to it again."
  when            = local.here.kubeconfig != null && contains(local.here.pods, "kube-apiserver")
  kubeconfig      = local.here.kubeconfig
  timeout_seconds = 600
}

step "drill_score" "score" {
  description    = "Found for what it was, back in time, at what loss."
  since          = run.started
  within_seconds = var.within_seconds
  found          = step.recover.found
  expected       = ["db_meta_both", "db_page"]
  cure           = step.recover.cure
  lost           = step.recover.loss
}

step "runbook" "backup" {
  description = "The cluster may be another one now: take the first of its backups."
  source      = "../etcd-backup.hcl"
  late        = true
  on_failure  = "continue"
  variables   = { unit = var.unit, manifest = var.manifest }
}

output "score" {
  description = "The score, in a sentence."
  value       = step.score.score
}
