# The second part of etcd-recover.hcl: one cure, from stopping to proof. Where it
# fails, this is done once more, and looks at the host afresh: what failed may have
# worked after all, and what was possible before needn't be any more.
runbook "etcd-attempt" {
  description = "Take the gentlest cure that is left: stop etcd, mend its data, start it, and see that it serves that very data."

  precondition {
    condition     = local.cure != null
    error_message = "No cure is left that this runbook knows. ${local.now.advice}"
  }
}

variable "unit" {
  description = "As in etcd-recover.hcl."
  type        = string
  default     = null
}

variable "manifest" {
  description = "As in etcd-recover.hcl."
  type        = string
  default     = null
}

variable "backup_dirs" {
  description = "As in etcd-recover.hcl."
  type        = list(string)
  default     = null
}

variable "tried" {
  description = "The cures that have failed; of adopt and restore with what they took."
  type        = list(string)
  default     = []
}

variable "ask" {
  description = "Whether to ask before a cure that loses something."
  type        = bool
  default     = false
}

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

data "etcd_status" "now" {
  endpoints = data.etcd_member.this.client_urls
  tls       = data.etcd_member.this.tls
}

locals {
  here    = data.etcd_installation.here
  now     = data.etcd_diagnosis.now
  member  = data.etcd_member.this
  answers = data.etcd_status.now.healthy

  pod     = var.manifest != null || var.unit == null && local.here.runs_as == "static_pod"
  folder  = var.manifest != null ? dirname(var.manifest) : coalesce(local.here.manifests_dir, "/")
  stopped = "${local.folder}.stopped"
  unit    = coalesce(var.unit, local.here.unit, "etcd.service")
  kubelet = local.pod ? local.here.kubelet : null
  others  = [for pod in local.here.pods : pod if pod != "etcd"]

  # An etcd that answers, and whose data wants no cure, is left alone.
  calm = local.answers && contains(["", "restart"], local.now.recommended)
  left = [
    for rung in local.now.ladder : rung
    if rung.possible && !contains(var.tried, contains(["adopt", "restore"], rung.cure) ? "${rung.cure} ${rung.path}" : rung.cure)
  ]
  cure = local.calm ? "none" : length(local.left) == 0 ? null : local.left[0].cure
  from = contains(["adopt", "salvage", "restore"], coalesce(local.cure, "none")) ? local.left[0].path : null
  asks = var.ask && contains(["adopt", "salvage", "restore"], local.cure)
  loss = contains(["none", null], local.cure) ? "nothing" : local.left[0].loss
  etcd = local.cure != "none"
  pods = !local.pod ? [] : local.etcd ? concat(local.others, ["etcd"]) : local.now.served == false ? local.others : []

  repairs = toset([for finding in local.now.findings : finding.class if finding.needs == "repair"])
  owner   = "${local.member.uid}:${local.member.gid}"

  words = {
    none    = "Start the rest of the control plane anew"
    restart = "Start etcd on its data as it is"
    repair  = "Mend etcd's files in place"
    adopt   = "Use the data in ${local.from == null ? "?" : local.from}"
    salvage = "Make a new data directory from the database and the log in ${local.from == null ? "?" : local.from}"
    restore = "Restore ${local.from == null ? "?" : local.from}"
  }
}

step "confirm" "agree" {
  description = "Ask before a cure that loses something."
  when        = local.asks
  message     = "The cure before has failed. ${local.words[local.cure]}? It loses ${local.loss}."
}

step "fail" "declined" {
  description = "A question that is passed over isn't answered with yes."
  when        = local.asks && step.agree == null
  message     = "Nobody has agreed to this: ${local.words[local.cure]}. It loses ${local.loss}."
}

# Kubelet forgets how often a pod has crashed when it is started anew. Until then it
# would let etcd wait, for up to five minutes.
step "systemd_unit" "stop_kubelet" {
  description = "Stop kubelet, which would start etcd again and again."
  when        = local.kubelet != null && length(local.pods) > 0
  unit        = local.kubelet
  state       = "stopped"
}

step "static_pod_move" "stop_pods" {
  description   = "Stop the control plane, and wait until its containers are gone."
  when          = length(local.pods) > 0
  from          = local.folder
  to            = local.stopped
  pods          = local.pods
  together      = !local.answers
  grace_seconds = local.answers ? 10 : 1
}

step "systemd_unit" "stop_etcd" {
  description = "Stop etcd, and with it the loop that keeps starting it."
  when        = !local.pod && local.etcd
  unit        = local.unit
  state       = "stopped"
}

# Each of these keeps what it replaces.
step "etcd_wal_repair" "cut_tail" {
  description = "Cut the torn tail off the log, on a copy that takes the file's place."
  when        = local.cure == "repair" && contains(local.repairs, "wal_torn")
  member      = local.member
}

step "chown" "own_data" {
  description = "Give the data to the user that etcd runs as."
  when        = local.cure == "repair" && contains(local.repairs, "ownership")
  path        = local.member.data_dir
  owner       = local.owner
  recursive   = true
}

step "chown" "own_log" {
  description = "Likewise the log, where it has a directory of its own."
  when        = local.cure == "repair" && contains(local.repairs, "ownership") && !startswith(local.now.wal_dir, "${local.member.data_dir}/")
  path        = local.now.wal_dir
  owner       = local.owner
  recursive   = true
}

step "etcd_adopt" "adopt" {
  description = "Put the directory that has the data into the place of the one that lacks it."
  when        = local.cure == "adopt"
  member      = local.member
  from        = local.from
}

step "etcd_salvage" "salvage" {
  description = "Build a new data directory from the database, replay the log, and swap the two."
  when        = local.cure == "salvage"
  member      = local.member
  from        = local.from == local.member.data_dir ? null : local.from
}

step "etcd_snapshot_restore" "restore" {
  description = "Build a new data directory from the backup, check it, and swap the two."
  when        = local.cure == "restore"
  member      = local.member
  snapshot    = local.from
}

# All pods start at once, and come up side by side: the data was proved before it
# took its place, and etcd gets it by the manifest from which that was read.
step "static_pod_move" "put_in_place" {
  description = "Put the manifests in place, for kubelet to start all of it at once."
  when        = length(local.pods) > 0
  from        = local.stopped
  to          = local.folder
  pods        = reverse(local.pods)
  wait        = local.kubelet == null
}

step "systemd_unit" "start_kubelet" {
  description = "Start kubelet, which has forgotten what has crashed before."
  when        = local.kubelet != null
  unit        = local.kubelet
  masked      = false
  state       = "started"
}

step "static_pod_move" "start_etcd_pod" {
  description     = "Wait until etcd is up."
  when            = local.pod && local.etcd
  from            = local.stopped
  to              = local.folder
  pods            = ["etcd"]
  most_failures   = 3
  timeout_seconds = 600
}

step "systemd_unit" "start_etcd" {
  description = "Start etcd."
  when        = !local.pod && local.etcd
  unit        = local.unit
  masked      = false
  state       = "started"
  timeout     = "10m"
}

locals {
  serves = (local.cure == "salvage" ? step.salvage.revision :
  local.cure == "restore" ? step.restore.revision : local.cure == "adopt" ? step.adopt.revision : local.now.revision)
}

step "etcd_health" "healthy" {
  description = "etcd answers reads that need a leader, and it is this data."
  endpoints   = local.member.client_urls
  tls         = local.member.tls

  retry {
    attempts = 600
    delay    = "100ms"
  }

  postcondition {
    condition     = self.revision >= local.serves
    error_message = "etcd is healthy at revision ${self.revision}, and its data had revision ${local.serves}: it isn't that data."
  }
}

step "etcd_compare" "all_keys_back" {
  description = "Healthy does not mean that the data is back: compare every key with the backup."
  when        = local.cure == "restore"
  endpoints   = local.member.client_urls
  tls         = local.member.tls
  snapshot    = local.from
  revision    = local.serves
}

output "found" {
  description = "The classes of what the diagnosis found."
  value       = local.now.classes
}

output "cure" {
  description = "The cure that was taken."
  value       = local.cure
}

output "loss" {
  description = "What it lost, in words."
  value       = local.loss
}

output "revision" {
  description = "The revision at which etcd serves."
  value       = step.healthy.revision
}

output "kept" {
  description = "Where the data is that was replaced; null where none was."
  value = (local.cure == "salvage" ? step.salvage.kept : local.cure == "restore" ? step.restore.kept :
  local.cure == "adopt" ? step.adopt.kept : null)
}
