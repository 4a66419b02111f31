runbook "etcd-recover" {
  description = "Bring a broken single-member etcd back: find out by itself what is wrong, and take the cure that loses least. A backup comes last."
  time_budget = "50m"

  goal {
    condition = local.well
    message   = "etcd is healthy${local.pod ? " and the API server is ready" : ""}; nothing that was found wants a cure."
  }

  summary {
    lines = concat(local.found, local.cure == null || local.well || length(local.by_hand) > 0 ? [] : [
      "Cure: ${join(", ", concat(local.mends, [local.does[local.cure]]))}.",
      "It loses ${local.loss}.",
      "If it fails: look again and take the next gentlest${var.ask ? "; ask before one that loses something" : ""}.",
    ])
  }

  precondition {
    condition     = length(local.by_hand) == 0
    error_message = "This has to be put right by hand, and then this run again:\n${join("\n", local.by_hand)}\nNo cure of the data is taken because of it."
  }

  precondition {
    condition     = local.cure != null
    error_message = "No cure is possible with what is on this host. ${local.now.advice} All that was found: runbook read etcd_diagnosis"
  }

  precondition {
    condition     = var.alone || !contains(["salvage", "restore"], coalesce(local.cure, "none")) || length(local.members) < 2
    error_message = "The cluster has ${length(local.members)} members (${join(", ", local.members)}). If most of them are well, replace this one: remove it, empty its directory, add it again. This cure would make a cluster of one beside them. If they are lost for good, give --var alone=true."
  }
}

variable "ask" {
  description = "Whether to ask before a cure that loses something, where the one in the plan has failed."
  type        = bool
  default     = true
}

variable "alone" {
  description = "Make a cluster of this one member from data of several. The others have to be lost, or stopped for good."
  type        = bool
  default     = false
}

variable "backup" {
  description = "Whether to take a backup at once where the cluster has become another one."
  type        = bool
  default     = true
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

# All of this is read before anything is stopped, and changes nothing.
data "etcd_installation" "here" {}

data "etcd_member" "this" {
  unit     = var.unit
  manifest = var.manifest
}

data "etcd_diagnosis" "now" {
  unit     = var.unit
  manifest = var.manifest
  backups  = coalesce(var.backup_dirs, data.etcd_installation.here.backup_dirs)
}

# For the members of the cluster, where its own files don't tell.
data "etcd_backups" "all" {
  directories = coalesce(var.backup_dirs, data.etcd_installation.here.backup_dirs)
}

data "etcd_status" "now" {
  endpoints = data.etcd_member.this.client_urls
  tls       = data.etcd_member.this.tls
}

locals {
  here   = data.etcd_installation.here
  now    = data.etcd_diagnosis.now
  pod    = var.manifest != null || var.unit == null && local.here.runs_as == "static_pod"
  folder = var.manifest != null ? dirname(var.manifest) : coalesce(local.here.manifests_dir, "/")
  others = [for pod in local.here.pods : pod if pod != "etcd"]
  served = local.now.served != false

  # An etcd that answers, and whose data wants no cure, is left alone, whatever else
  # is wrong.
  calm = data.etcd_status.now.healthy && contains(["", "restart"], local.now.recommended)
  well = local.calm && local.served && length(local.now.causes) == 0
  left = [for rung in local.now.ladder : rung if rung.possible]
  cure = local.calm ? "none" : length(local.left) == 0 ? null : local.left[0].cure
  path = local.cure == "none" || local.cure == null ? "" : coalesce(local.left[0].path, "?")
  loss = local.cure == "none" || local.cure == null ? "nothing" : local.left[0].loss

  # By its own files, or by its newest backup where these don't tell.
  members = length(local.now.members) > 0 ? local.now.members[*].name : data.etcd_backups.all.newest_members
  by_hand = [for cause in local.now.causes : "- ${cause.finding} ${cause.advice}${cause.command == "" ? "" : " Type: ${cause.command}"}" if cause.remedy == ""]

  # What the screen says first, and again before the question.
  # What wants a cure comes first, and of each kind the first finding speaks.
  wrong = concat([for f in local.now.findings : f if f.needs != ""], [for f in local.now.findings : f if f.needs == "" && f.severity != "note"])
  worst = [for n, f in local.wrong : f.finding if !contains(slice(local.wrong, 0, n)[*].class, f.class)]
  found = concat(slice(local.worst, 0, min(4, length(local.worst))),
  length(local.worst) > 4 ? ["And ${length(local.worst) - 4} more: runbook read etcd_diagnosis"] : [])
  remedies = {
    start_kubelet      = "start kubelet"
    start_runtime      = "start the container runtime"
    start_unit         = "unmask etcd's unit"
    stop_unit          = "stop the service that holds a port"
    put_back           = "put back what is lost"
    renew_certificate  = "renew certificates"
    set_aside_manifest = "set the second manifest aside"
    rename_flag        = "correct the flag"
  }
  mends = distinct([for cause in local.now.causes : local.remedies[cause.remedy] if cause.remedy != ""])
  does = {
    none    = local.served ? "leave etcd as it is" : "leave etcd as it is, and start the control plane anew"
    restart = "start etcd on its data as it is"
    repair  = "mend etcd's files in place"
    adopt   = "use the data in ${local.path}"
    salvage = "make a new data directory from the database and the log in ${local.path}"
    restore = "restore ${local.path}"
  }
}

step "runbook" "mend" {
  description = "Put right what is around etcd."
  when        = length(local.now.causes) > 0
  source      = "recover/mend.hcl"
  variables   = { here = local.here, causes = local.now.causes }
}

step "runbook" "first" {
  description = "Take the cure."
  source      = "recover/attempt.hcl"
  on_failure  = "continue"
  variables   = { unit = var.unit, manifest = var.manifest, backup_dirs = var.backup_dirs }
}

# A cure is given up once its own etcd has been seen to fail.
step "runbook" "second" {
  description = "Look again, and take the next gentlest cure."
  when        = step.first == null
  source      = "recover/attempt.hcl"
  late        = true
  on_failure  = "continue"
  variables = {
    unit  = var.unit, manifest = var.manifest, backup_dirs = var.backup_dirs, ask = var.ask
    tried = [local.cure, "${local.cure == null ? "" : local.cure} ${local.path}"]
  }
}

step "runbook" "third" {
  description = "Look again, for a backup or other data."
  when        = step.first == null && step.second == null
  source      = "recover/attempt.hcl"
  late        = true
  variables = {
    unit  = var.unit, manifest = var.manifest, backup_dirs = var.backup_dirs, ask = var.ask
    tried = ["restart", "repair", "salvage", "${local.cure == null ? "" : local.cure} ${local.path}"]
  }
}

locals {
  worked = step.first != null ? step.first : step.second != null ? step.second : step.third
}

step "kubernetes_ready" "cluster_is_ready" {
  description     = "The API server is ready, and the nodes report to it again."
  when            = local.pod && local.here.kubeconfig != null && contains(local.here.pods, "kube-apiserver")
  kubeconfig      = local.here.kubeconfig
  timeout_seconds = 600
}

# etcd was seen to serve its data by now: what fails here is no reason for another
# cure of that.
step "static_pod_move" "rest_is_up" {
  description     = "Wait until what works through the API server is up."
  when            = local.pod && length(local.others) > 0
  from            = "${local.folder}.stopped"
  to              = local.folder
  pods            = local.others
  timeout_seconds = 600
}

step "runbook" "backup" {
  description = "The cluster is another one now: take the first of its backups."
  when        = var.backup && contains(["salvage", "restore"], local.worked.cure)
  source      = "etcd-backup.hcl"
  late        = true
  on_failure  = "continue"
  variables   = { unit = var.unit, manifest = var.manifest }
}

output "found" {
  description = "The classes of what the diagnosis found."
  value       = local.now.classes
}

output "cure" {
  description = "The cure that worked."
  value       = local.worked.cure
}

output "lost" {
  description = "What it lost, in words."
  value       = local.worked.loss
}

output "revision" {
  description = "The revision at which etcd serves."
  value       = local.worked.revision
}

output "backup" {
  description = "The backup that was taken afterwards."
  value       = step.backup == null ? null : step.backup.snapshot
}

output "next" {
  description = "What to type now."
  value       = step.backup == null ? "runbook run etcd-backup.hcl" : null
}
