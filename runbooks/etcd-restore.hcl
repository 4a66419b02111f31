runbook "etcd-restore" {
  description = "Rebuild the single-member etcd of a kubeadm control plane from its newest good snapshot, and prove that everything is back."
  time_budget = "50m"

  goal {
    condition = !var.force && data.etcd_status.now.healthy && local.recovered && local.control_plane_is_on
    message   = "etcd is healthy, holds the data of ${data.etcd_snapshot.backup.path}, and the control plane's manifests are in place. To go back to that snapshot all the same, give --var force=true."
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
    condition = var.force || !local.serves
    error_message = (local.recovered && !local.control_plane_is_on ?
      "etcd is healthy and has the snapshot's data: what is missing are manifests in ${local.manifests_dir}. If nobody has set them aside on purpose, move them back from ${local.stopped_dir}. Restoring would lose ${local.loss}. If that is what you want, give --var force=true." :
      "etcd is healthy and has gone on since the snapshot: revision ${data.etcd_status.now.revision}, the snapshot's is ${data.etcd_snapshot.backup.revision}. Restoring would lose ${local.loss}. If that is what you want, give --var force=true."
    )
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

variable "manifests_dir" {
  description = "The folder from which kubelet runs static pods, if it isn't the one that is found."
  type        = string
  default     = null
}

variable "stopped_dir" {
  description = "Where the manifests are while the control plane is down; it has to be outside of manifests_dir. Without it, beside that."
  type        = string
  default     = null
}

variable "kubelet" {
  description = "The systemd unit that runs kubelet, if it isn't the one that is found."
  type        = string
  default     = null
}

variable "kubeconfig" {
  description = "The kubeconfig with which the API server is checked, if it isn't the one that is found."
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
  description = "The member's name, if you want it checked: it is read from the manifest."
  type        = string
  default     = null
}

variable "peer_url" {
  description = "The member's peer URL, if you want it checked: it is read from the manifest."
  type        = string
  default     = null
}

variable "cluster_token" {
  description = "The restored cluster's token. It must be a new one, and is made up where it isn't given."
  type        = string
  default     = null
}

variable "data_dir" {
  description = "Restore into this directory instead of the member's own, and have the manifest point to it: for a disk that is broken."
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
  manifest = local.manifest
}

data "etcd_snapshot" "backup" {
  directory = var.snapshot == null ? var.backup_dir : null
  path      = var.snapshot
}

data "etcd_diagnosis" "now" {
  manifest = local.manifest
  backups  = var.backup_dir == null ? data.etcd_installation.here.backup_dirs : [var.backup_dir]
}

data "etcd_inventory" "backup" {
  path = data.etcd_snapshot.backup.path
}

data "etcd_status" "now" {
  endpoints = data.etcd_member.this.client_urls
  tls       = data.etcd_member.this.tls
  snapshot  = data.etcd_snapshot.backup.path
}

data "host" "this" {}

data "file" "hosts" {
  path = "/etc/hosts"
}

locals {
  here          = data.etcd_installation.here
  manifests_dir = coalesce(var.manifests_dir, local.here.manifests_dir, "/etc/kubernetes/manifests")
  stopped_dir   = coalesce(var.stopped_dir, "${local.manifests_dir}.stopped")
  kubelet       = coalesce(var.kubelet, local.here.kubelet, "kubelet.service")
  kubeconfig    = coalesce(var.kubeconfig, local.here.kubeconfig, "/etc/kubernetes/admin.conf")

  active = "${local.manifests_dir}/etcd.yaml"
  # Where an earlier attempt has left the manifests aside, they are read there.
  manifest            = path(local.active).exists ? local.active : "${local.stopped_dir}/etcd.yaml"
  control_plane_is_on = path(local.active).exists && path("${local.manifests_dir}/kube-apiserver.yaml").exists

  # Restored from this very snapshot, or never without its keys.
  recovered = (
    data.etcd_member.this.restored_from == data.etcd_snapshot.backup.content_hash ||
    data.etcd_status.now.holds_snapshot
  )
  # The data gets another directory than the manifest names.
  elsewhere = var.data_dir != null && var.data_dir != data.etcd_member.this.data_dir

  controllers = ["kube-controller-manager", "kube-scheduler"]

  # A host that can't look its own name up gets it from the address that etcd has.
  own_address = try(regex("^https?://([0-9.]+):", data.etcd_member.this.peer_urls[0])[0], null)
  nameless    = !data.host.this.name_resolves && data.file.hosts.content != null && local.own_address != null

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

# Without kubelet the runtime stops the pods at once. Started again, kubelet has
# forgotten how often etcd has crashed, after which it would let it wait, and
# what it watched in the old cluster. Workloads run on meanwhile.
step "systemd_unit" "stop_kubelet" {
  description = "Stop kubelet, which would start etcd on its broken data again and again."
  unit        = local.kubelet
  state       = "stopped"
}

step "static_pod_move" "stop_control_plane" {
  description = "Take the control plane down, the API server first, and wait until its containers are gone."
  from        = local.manifests_dir
  to          = local.stopped_dir
  pods        = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"]
  timeout     = "5m"

  # Without an etcd that answers, an API server would use all the time it gets, and
  # there is nothing that etcd would have to outlive it for.
  grace_seconds = data.etcd_status.now.healthy ? 10 : 0
  together      = !data.etcd_status.now.healthy

  # All manifests are back before kubelet starts.
  keep_sandboxes = !local.elsewhere
}

step "etcd_snapshot_restore" "restore" {
  description = "Build the new data directory beside the old one, check it, and swap the two."
  snapshot    = data.etcd_snapshot.backup.path
  member      = data.etcd_member.this
  data_dir    = var.data_dir
  name        = var.name

  initial_advertise_peer_urls = var.peer_url == null ? null : [var.peer_url]
  initial_cluster_token       = var.cluster_token
}

step "static_pod_edit" "point_to_new_disk" {
  description = "Have the manifest name the new data directory."
  when        = local.elsewhere
  manifest    = "${local.stopped_dir}/etcd.yaml"
  flags       = { data-dir = var.data_dir }
  host_paths  = { etcd-data = var.data_dir }
}

step "write_file" "name_this_host" {
  description = "Have the host know its own name, which kubelet would look up in vain, ten seconds for each pod."
  when        = local.nameless
  on_failure  = "continue"
  path        = "/etc/hosts"
  content     = "${trimsuffix(data.file.hosts.content, "\n")}\n${local.own_address} ${data.host.this.hostname}\n"
}

# All pods start at once, and come up side by side: etcd's new data was compared
# with the snapshot, byte for byte, before it took the old one's place, and etcd
# gets it by the very manifest from which the directory was read. Where that
# manifest is another one now, etcd has to prove itself before it is asked.
step "static_pod_move" "put_in_place" {
  description = "Put the manifests in place, for kubelet to start the pods side by side; etcd's alone where its data has another directory now."
  from        = local.stopped_dir
  to          = local.manifests_dir
  pods        = local.elsewhere ? ["etcd"] : concat(["etcd", "kube-apiserver"], local.controllers)
  wait        = false
}

step "systemd_unit" "start_kubelet" {
  description = "Start kubelet, which has forgotten what has crashed before."
  unit        = local.kubelet
  state       = "started"
}

step "static_pod_move" "start_etcd" {
  description   = "Wait until etcd is up."
  from          = local.stopped_dir
  to            = local.manifests_dir
  pods          = ["etcd"]
  most_failures = 3
  timeout       = "5m"
}

step "etcd_health" "healthy" {
  description = "Wait until etcd answers reads that need a leader."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls

  retry {
    attempts = 600
    delay    = "100ms"
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

step "static_pod_move" "start_api_server" {
  description = "Wait until the API server is up. It remembers nothing of the old cluster."
  from        = local.stopped_dir
  to          = local.manifests_dir
  pods        = ["kube-apiserver"]
  timeout     = "5m"
}

step "kubernetes_ready" "cluster_is_ready" {
  description     = "The API server is ready, and the nodes report to it again."
  kubeconfig      = local.kubeconfig
  timeout_seconds = 300
}

step "kubernetes_compare" "all_objects_back" {
  description     = "All that the snapshot held of Kubernetes is in the cluster again, by kind and namespace."
  kubeconfig      = local.kubeconfig
  expect          = data.etcd_inventory.backup.counts
  timeout_seconds = 300
}

step "static_pod_move" "start_controllers" {
  description = "Wait until what works through the API server is up."
  from        = local.stopped_dir
  to          = local.manifests_dir
  pods        = local.controllers
  timeout     = "5m"
}

output "revision" {
  description = "The revision at which etcd starts."
  value       = step.restore.revision
}

output "objects" {
  description = "How many Kubernetes objects are back."
  value       = step.all_objects_back.total
}

output "lost" {
  description = "What the restore lost, in words."
  value       = local.loss
}

output "kept" {
  description = "Where the old data is."
  value       = step.restore.kept
}
