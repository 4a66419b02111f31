# The first part of etcd-recover.hcl.
runbook "etcd-mend" {
  description = "Put right what is around etcd, before anything is done to its data."
}

variable "here" {
  description = "What runs etcd, as data.etcd_installation tells it."
}

variable "causes" {
  description = "What is to be put right, as data.etcd_diagnosis tells it."
}

locals {
  kubelet = var.here.runs_as == "static_pod" ? var.here.kubelet : null
  aside   = "${coalesce(var.here.manifests_dir, "/etc/kubernetes/manifests")}.aside"

  # By what each remedy is about, a unit or a file.
  runtimes = toset([for c in var.causes : c.path if c.remedy == "start_runtime"])
  kubelets = toset([for c in var.causes : c.path if c.remedy == "start_kubelet"])
  units    = toset([for c in var.causes : c.path if c.remedy == "start_unit"])
  holders  = toset([for c in var.causes : c.path if c.remedy == "stop_unit"])
  second   = toset([for c in var.causes : c.path if c.remedy == "set_aside_manifest"])
  lost     = { for c in var.causes : c.path => c.source... if c.remedy == "put_back" }
  renewed  = { for c in var.causes : c.path => c.to... if c.remedy == "renew_certificate" }
  renamed  = { for c in var.causes : c.path => c... if c.remedy == "rename_flag" }

  # A name or an address that a certificate lacks. Whoever needs one needs that of
  # this host, too.
  is_address = { for name in distinct(flatten(values(local.renewed))) : name => can(regex("^[0-9.]+$|:", name)) }
  here_too   = { for path, names in local.renewed : path => length(compact(names)) > 0 ? ["127.0.0.1"] : [] }

  # Kubelet needn't be stopped for what isn't its own business.
  quiet = length(local.kubelets) == length(var.causes) || length(local.runtimes) == length(var.causes)
}

step "systemd_unit" "start_runtime" {
  description = "Start the container runtime: without it no pod stops or starts."
  for_each    = local.runtimes
  unit        = each.key
  masked      = false
  state       = unit(each.key).active ? "restarted" : "started"
}

step "systemd_unit" "stop_kubelet" {
  description = "Stop kubelet while its pods' files change."
  when        = local.kubelet != null && !local.quiet
  unit        = local.kubelet
  state       = "stopped"
}

step "systemd_unit" "free_port" {
  description = "Stop the service that holds a port of the control plane."
  for_each    = local.holders
  unit        = each.key
  state       = "stopped"
}

step "make_directory" "aside" {
  description = "A directory for what kubelet is not to run."
  when        = length(local.second) > 0
  path        = local.aside
  mode        = "0700"
}

step "move" "set_aside" {
  description = "Take the second manifest of one pod out of kubelet's folder."
  for_each    = local.second
  from        = each.key
  to          = "${local.aside}/${basename(each.key)}"
}

step "archive_extract" "put_back" {
  description = "Put back what is lost, from the backup's archive."
  for_each    = { for path, sources in local.lost : path => sources[0] if endswith(sources[0], ".gz") }
  archive     = each.value
  files       = [each.key]
}

step "copy" "copy_back" {
  description = "Put back what is lost, from the copy of it on this host."
  for_each    = { for path, sources in local.lost : path => sources[0] if !endswith(sources[0], ".gz") }
  from        = each.value
  to          = each.key
  replace     = true
}

step "certificate_renew" "renew" {
  description      = "Issue the certificate anew, with its CA's key."
  for_each         = local.renewed
  path             = each.key
  add_ip_addresses = concat([for name in each.value : name if local.is_address[name]], local.here_too[each.key])
  add_dns_names    = [for name in each.value : name if name != "" && !local.is_address[name]]
}

step "static_pod_edit" "rename_flag" {
  description  = "Give the flag the name that it should have."
  for_each     = local.renamed
  manifest     = each.key
  rename_flags = { for c in each.value : c.from => c.to }
}

step "systemd_unit" "unmask_etcd" {
  description = "Let etcd's unit start again."
  for_each    = local.units
  unit        = each.key
  masked      = false
}

step "systemd_unit" "start_kubelet" {
  description = "Start kubelet."
  when        = local.kubelet != null && length(local.kubelets) > 0 && local.quiet
  unit        = local.kubelet
  masked      = false
  state       = "started"
}

output "mended" {
  description = "The classes of what was put right."
  value       = [for c in var.causes : c.class]
}
