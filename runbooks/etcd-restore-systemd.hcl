runbook "etcd-restore-systemd" {
  description = "Rebuild a single-member etcd under systemd from its newest good snapshot."
  time_budget = "50m"

  goal {
    condition = !var.force && data.etcd_status.now.healthy && local.recovered
    message   = "etcd is healthy and holds the data of ${data.etcd_snapshot.backup.path}. To go back to that snapshot all the same, give --var force=true."
  }

  summary {
    lines = concat(local.found, [
      "Restore ${data.etcd_snapshot.backup.path}, written ${data.etcd_snapshot.backup.modified}: ${data.etcd_snapshot.backup.keys} keys at revision ${data.etcd_snapshot.backup.revision}.",
      "It loses ${local.loss}.",
      local.gentler == null ? null : "A gentler cure is left: ${local.does[local.gentler.cure]}. It loses ${local.gentler.loss}.",
      path(data.etcd_member.this.data_dir).exists ? "What is in ${data.etcd_member.this.data_dir} now is kept." : null,
    ])
  }

  precondition {
    condition     = var.force || !local.serves
    error_message = "etcd is healthy and has gone on since the snapshot: revision ${data.etcd_status.now.revision}, the snapshot's is ${data.etcd_snapshot.backup.revision}. Restoring would lose ${local.loss}. If that is what you want, give --var force=true."
  }

  precondition {
    condition     = var.force || local.serves || local.gentler == null
    error_message = local.gentler == null ? "" : "A gentler cure is left: ${local.does[local.gentler.cure]}. It loses ${local.gentler.loss}. This restore would lose ${local.loss}. For the gentler one: runbook run etcd-recover.hcl. If you want to restore all the same, give --var force=true."
  }

  precondition {
    condition     = var.alone || length(data.etcd_snapshot.backup.members) < 2
    error_message = "The backup is of a cluster of ${length(data.etcd_snapshot.backup.members)} members (${join(", ", data.etcd_snapshot.backup.members)}). If most of them are well, replace this one: remove it, empty its directory, add it again. This runbook would make a cluster of one beside them. If they are lost for good, give --var alone=true."
  }
}

variable "unit" {
  description = "The systemd unit that runs etcd, if it isn't the one that is found."
  type        = string
  default     = null
}

variable "backup_dir" {
  description = "Directory that holds the snapshots. The newest one that verifies is taken. Without it, those of the schedule and the usual ones."
  type        = string
  default     = null
}

variable "snapshot" {
  description = "Take this snapshot instead of the newest one."
  type        = string
  default     = null
}

variable "name" {
  description = "The member's name, if you want it checked: it is read from the unit."
  type        = string
  default     = null
}

variable "peer_url" {
  description = "The member's peer URL, if you want it checked: it is read from the unit."
  type        = string
  default     = null
}

variable "cluster_token" {
  description = "The restored cluster's token. It must be a new one, and is made up where it isn't given."
  type        = string
  default     = null
}

variable "alone" {
  description = "Make a cluster of this one member from a backup of several. The others have to be lost, or stopped for good."
  type        = bool
  default     = false
}

variable "force" {
  description = "Restore even where a gentler cure is left, or etcd is healthy, and lose what was written since the snapshot."
  type        = bool
  default     = false
}

# All of this is read before anything is stopped, and stays what it is for the
# whole run, however often it is resumed.
data "etcd_installation" "here" {}

data "etcd_member" "this" {
  unit = local.unit
}

data "etcd_snapshot" "backup" {
  directory = var.snapshot == null ? var.backup_dir : null
  path      = var.snapshot
}

data "etcd_diagnosis" "now" {
  unit    = local.unit
  backups = var.backup_dir == null ? data.etcd_installation.here.backup_dirs : [var.backup_dir]
}

data "etcd_status" "now" {
  endpoints = data.etcd_member.this.client_urls
  tls       = data.etcd_member.this.tls
  snapshot  = data.etcd_snapshot.backup.path
}

locals {
  unit = coalesce(var.unit, data.etcd_installation.here.unit, "etcd.service")

  # Restored from this very snapshot, or never without its keys.
  recovered = (
    data.etcd_member.this.restored_from == data.etcd_snapshot.backup.content_hash ||
    data.etcd_status.now.holds_snapshot
  )
  # An etcd that came up empty is healthy too, but far behind the snapshot.
  behind = data.etcd_status.now.revision < data.etcd_snapshot.backup.revision
  serves = data.etcd_status.now.healthy && !local.behind

  # Whatever is possible before a restore loses less. An etcd that came up empty starts
  # well, of course.
  gentle  = [for rung in data.etcd_diagnosis.now.ladder : rung if rung.possible && rung.cure != "restore" && !(data.etcd_status.now.healthy && contains(["restart", "repair"], rung.cure))]
  gentler = length(local.gentle) == 0 ? null : local.gentle[0]
  does = {
    restart = "start etcd on its data as it is"
    repair  = "mend etcd's files in place"
    adopt   = "use the data in ${local.gentler == null ? "" : local.gentler.path}"
    salvage = "make a new data directory from the database and the log in ${local.gentler == null ? "" : local.gentler.path}"
  }
  losses = [for found in data.etcd_diagnosis.now.candidates : found.loss if found.path == data.etcd_snapshot.backup.path && found.loss != ""]
  loss   = length(local.losses) > 0 ? local.losses[0] : "everything that was written since ${data.etcd_snapshot.backup.modified}"

  # What the screen says first, and again before the question.
  worst = [for finding in data.etcd_diagnosis.now.findings : finding.finding if finding.severity != "note"]
  found = concat(slice(local.worst, 0, min(4, length(local.worst))),
  length(local.worst) > 4 ? ["And ${length(local.worst) - 4} more: runbook read etcd_diagnosis"] : [])
}

step "systemd_unit" "stop_etcd" {
  description = "Stop etcd, and with it the loop that keeps starting it."
  unit        = local.unit
  state       = "stopped"
}

step "etcd_snapshot_restore" "restore" {
  description = "Build the new data directory beside the old one, check it, and swap the two."
  snapshot    = data.etcd_snapshot.backup.path
  member      = data.etcd_member.this
  name        = var.name

  initial_advertise_peer_urls = var.peer_url == null ? null : [var.peer_url]
  initial_cluster_token       = var.cluster_token
}

step "systemd_unit" "start_etcd" {
  description = "Start etcd on the restored data."
  unit        = local.unit
  state       = "started"
  timeout     = "3m"
}

step "etcd_health" "healthy" {
  description = "Wait until etcd answers reads that need a leader."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls

  retry {
    attempts = 60
    delay    = "1s"
  }
}

step "etcd_members" "membership" {
  description = "This member and no other."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
  expect      = { (data.etcd_member.this.name) = data.etcd_member.this.peer_urls }
}

step "etcd_compare" "all_keys_back" {
  description = "Healthy does not mean that the data is back: compare every key with the snapshot, at the revision that was restored."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
  snapshot    = data.etcd_snapshot.backup.path
  revision    = step.restore.revision
}

output "lost" {
  description = "What the restore lost, in words."
  value       = local.loss
}

output "kept" {
  description = "Where the old data is."
  value       = step.restore.kept
}
