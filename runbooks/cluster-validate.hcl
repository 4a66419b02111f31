runbook "cluster-validate" {
  description = "Look whether a cluster is as it should be: etcd, API server, nodes, workloads, access rules, events. It changes nothing."
  time_budget = "10m"
}

variable "kubeconfig" {
  description = "The kubeconfig of the cluster's administrator, if it isn't the one that is found."
  type        = string
  default     = null
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

variable "members" {
  description = "etcd's members as { name = [peer URLs] }. Default: the one of this host alone."
  type        = map(list(string))
  default     = null
}

variable "nodes" {
  description = "The nodes that have to be ready. Default: all that are registered, and at least one."
  type        = list(string)
  default     = null
}

variable "namespaces" {
  description = "Namespaces whose pods all have to serve."
  type        = list(string)
  default     = ["kube-system"]
}

variable "deployments" {
  description = "Deployments that have to be rolled out, each as \"NAMESPACE/NAME\"."
  type        = set(string)
  default     = []
}

variable "access" {
  description = "What service accounts may do, by a name for each rule; allowed = false where they must not."
  type = map(object({
    service_account = string # NAMESPACE:NAME
    verb            = string
    resource        = string # RESOURCE.GROUP
    namespace       = string
    allowed         = optional(bool)
  }))
  default = {}
}

data "etcd_installation" "here" {}

locals {
  kubeconfig = coalesce(var.kubeconfig, data.etcd_installation.here.kubeconfig, "/etc/kubernetes/admin.conf")
}

data "etcd_member" "this" {
  unit     = var.unit
  manifest = var.manifest
}

data "kubernetes_events" "warnings" {
  kubeconfig = local.kubeconfig
  minutes    = 15
}

data "kubernetes_pods" "all" {
  kubeconfig = local.kubeconfig
}

step "etcd_health" "etcd" {
  description = "etcd answers reads that need a leader."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
}

step "etcd_members" "members" {
  description = "The expected members, and no other."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
  expect      = var.members != null ? var.members : { (data.etcd_member.this.name) = data.etcd_member.this.peer_urls }
}

step "kubernetes_ready" "api_server_and_nodes" {
  description     = "The API server is ready, and so are the nodes."
  kubeconfig      = local.kubeconfig
  nodes           = var.nodes
  timeout_seconds = 60
}

step "kubernetes_wait" "pods" {
  description     = "The pods of the namespaces that matter are ready."
  for_each        = toset(var.namespaces)
  kubeconfig      = local.kubeconfig
  kind            = "Pod"
  namespace       = each.key
  condition       = "Ready"
  timeout_seconds = 120
}

step "kubernetes_wait" "deployments" {
  description     = "The Deployments that matter are rolled out."
  for_each        = var.deployments
  kubeconfig      = local.kubeconfig
  api_version     = "apps/v1"
  kind            = "Deployment"
  namespace       = split("/", each.key)[0]
  name            = split("/", each.key)[1]
  rollout         = true
  timeout_seconds = 120
}

step "kubernetes_access" "access" {
  description     = "The access rules that matter are in force."
  for_each        = var.access
  kubeconfig      = local.kubeconfig
  service_account = each.value.service_account
  verb            = each.value.verb
  resource        = each.value.resource
  namespace       = each.value.namespace
  expect          = each.value.allowed != false
  timeout_seconds = 30
}

output "warnings" {
  description = "Warnings of the last 15 minutes."
  value       = [for e in data.kubernetes_events.warnings.events : "${e.object}: ${e.reason}: ${e.message}"]
}

output "troubled_pods" {
  description = "Pods that don't serve, and why."
  value       = data.kubernetes_pods.all.troubled
}
