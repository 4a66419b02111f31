runbook "baseline" {
  description = "Put a small, complete application into a cluster and take a backup of it: something to lose in a rehearsal, and to find again."
  time_budget = "10m"
}

variable "kubeconfig" {
  description = "The kubeconfig of the cluster's administrator."
  type        = string
  default     = "/etc/kubernetes/admin.conf"
}

variable "namespace" {
  description = "The namespace that the application is put into."
  type        = string
  default     = "production"
}

variable "image" {
  description = "A web server's image. It has to answer GET / on port."
  type        = string
  default     = "registry.k8s.io/e2e-test-images/agnhost:2.53"
}

variable "image_pull_policy" {
  description = "When the image is pulled: IfNotPresent, Always or Never."
  type        = string
  default     = "IfNotPresent"
}

variable "args" {
  description = "The arguments of the image's program."
  type        = list(string)
  default     = ["netexec", "--http-port=8080"]
}

variable "port" {
  description = "The port at which the web server listens."
  type        = number
  default     = 8080
}

variable "manifest" {
  description = "The manifest of etcd's static pod, of which the backup is taken."
  type        = string
  default     = "/etc/kubernetes/manifests/etcd.yaml"
}

variable "backup_dir" {
  description = "Directory that holds the snapshots."
  type        = string
  default     = "/var/backups/etcd"
}

locals {
  app    = "payment-service"
  labels = { app = local.app }
  role   = "payment-reader"
  objects = [
    { apiVersion = "v1", kind = "Namespace", metadata = { name = var.namespace } },
    {
      apiVersion = "v1", kind = "ServiceAccount"
      metadata   = { name = local.app, namespace = var.namespace }
    },
    {
      apiVersion = "v1", kind = "ConfigMap"
      metadata   = { name = "payment-config", namespace = var.namespace }
      data       = { currency = "EUR", "limits.yaml" = "daily: 10000\nsingle: 2500\n" }
    },
    {
      # Nothing that is secret: what matters is that it is found again.
      apiVersion = "v1", kind = "Secret"
      metadata   = { name = "payment-credentials", namespace = var.namespace }
      stringData = { username = "rehearsal", token = "not-a-secret" }
    },
    {
      apiVersion = "rbac.authorization.k8s.io/v1", kind = "Role"
      metadata   = { name = local.role, namespace = var.namespace }
      rules = [
        { apiGroups = [""], resources = ["configmaps"], verbs = ["get", "list", "watch"] },
        { apiGroups = [""], resources = ["secrets"], resourceNames = ["payment-credentials"], verbs = ["get"] },
      ]
    },
    {
      apiVersion = "rbac.authorization.k8s.io/v1", kind = "RoleBinding"
      metadata   = { name = local.role, namespace = var.namespace }
      roleRef    = { apiGroup = "rbac.authorization.k8s.io", kind = "Role", name = local.role }
      subjects   = [{ kind = "ServiceAccount", name = local.app, namespace = var.namespace }]
    },
    {
      apiVersion = "v1", kind = "Service"
      metadata   = { name = local.app, namespace = var.namespace }
      spec       = { selector = local.labels, ports = [{ name = "http", port = 80, targetPort = var.port }] }
    },
    {
      apiVersion = "apps/v1", kind = "Deployment"
      metadata   = { name = local.app, namespace = var.namespace, labels = local.labels }
      spec = {
        replicas = 3
        selector = { matchLabels = local.labels }
        template = {
          metadata = { labels = local.labels }
          spec = {
            serviceAccountName = local.app
            containers = [{
              name            = "server"
              image           = var.image
              imagePullPolicy = var.image_pull_policy
              args            = var.args
              ports           = [{ name = "http", containerPort = var.port }]
              envFrom         = [{ secretRef = { name = "payment-credentials" } }]
              readinessProbe  = { httpGet = { path = "/", port = var.port }, periodSeconds = 1 }
              volumeMounts    = [{ name = "config", mountPath = "/etc/payment" }]
            }]
            volumes = [{ name = "config", configMap = { name = "payment-config" } }]
          }
        }
      }
    },
  ]
}

step "kubernetes_apply" "application" {
  description = "The namespace, and in it a Deployment with its Service, Secret, ConfigMap, ServiceAccount, Role and RoleBinding."
  kubeconfig  = var.kubeconfig
  manifests   = join("\n---\n", [for o in local.objects : jsonencode(o)])
}

step "kubernetes_wait" "running" {
  description     = "All three replicas serve."
  kubeconfig      = var.kubeconfig
  api_version     = "apps/v1"
  kind            = "Deployment"
  namespace       = var.namespace
  name            = local.app
  rollout         = true
  timeout_seconds = 300
}

step "make_directory" "backups" {
  description = "Where the snapshots are kept."
  path        = var.backup_dir
  parents     = true
  mode        = path(var.backup_dir).exists ? null : "0700"
}

step "runbook" "backup" {
  description = "A backup that has all of it."
  source      = "etcd-backup.hcl"
  variables   = { manifest = var.manifest, backup_dir = var.backup_dir }
}
