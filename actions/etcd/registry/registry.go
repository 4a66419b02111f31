// Package registry tells what a key of etcd's is to Kubernetes: which kind of
// object, in which namespace, and whether it is encrypted. It looks at one
// key at a time and keeps none.
package registry

import (
	"strings"
)

// Object is what a key and its value say.
type Object struct {
	// Resource is the plural with its group, such as "deployments.apps"; the
	// core group has none: "secrets".
	Resource string
	// Namespace is empty for an object that is in none.
	Namespace string
	// Encrypted names what it was encrypted with, as "PROVIDER/KEY"; empty
	// where it can be read.
	Encrypted string
}

// renamed are the resources that the API server keeps under another name.
var renamed = map[string]string{
	"controllers":        "replicationcontrollers",
	"ingress":            "ingresses",
	"minions":            "nodes",
	"podsecuritypolicy":  "podsecuritypolicies",
	"services/endpoints": "endpoints",
	"services/specs":     "services",
}

// internal are what the API server keeps for itself. No API serves it.
var internal = map[string]bool{"ranges": true, "masterleases": true, "peerserverleases": true}

// Parse tells what is kept at key, below prefix ("/registry"). It reports false
// where that is no object of an API: another program's key, or the API server's
// own.
func Parse(prefix string, key, value []byte) (Object, bool) {
	rest, below := strings.CutPrefix(string(key), strings.TrimSuffix(prefix, "/")+"/")
	parts := strings.Split(rest, "/")
	if !below || len(parts) < 2 || internal[parts[0]] {
		return Object{}, false
	}
	resource, group, in := place(parts)
	o := Object{Encrypted: encryptedWith(value)}
	switch len(in) {
	case 1: // NAME
	case 2: // NAMESPACE/NAME
		o.Namespace = in[0]
	default:
		return Object{}, false
	}
	if group == "" {
		group = builtin(resource, apiVersion(value))
	}
	if o.Resource = resource; group != "" {
		o.Resource += "." + group
	}
	return o, true
}

// place splits a key's parts into the resource, its group as far as the key
// tells it, and what is within the resource. Only a custom resource, and the
// two APIs that make APIs, have the group in the key, and only a group has a
// dot in it.
func place(parts []string) (resource, group string, in []string) {
	if strings.Contains(parts[0], ".") {
		return parts[1], parts[0], parts[2:]
	}
	if name, ok := renamed[parts[0]+"/"+parts[1]]; ok {
		return name, "", parts[2:]
	}
	if name, ok := renamed[parts[0]]; ok {
		return name, "", parts[1:]
	}
	return parts[0], "", parts[1:]
}

// builtin is the group of a resource that Kubernetes has built in: the one
// that the object itself tells, or the one that it has always had.
func builtin(resource, apiVersion string) string {
	if apiVersion == "" {
		return groups[resource]
	}
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return "" // "v1", the core group
	}
	return group
}

// groups are the groups of built-in resources, for objects that can't be read.
// What isn't here is of the core group.
var groups = map[string]string{
	"certificatesigningrequests":        "certificates.k8s.io",
	"clusterrolebindings":               "rbac.authorization.k8s.io",
	"clusterroles":                      "rbac.authorization.k8s.io",
	"clustertrustbundles":               "certificates.k8s.io",
	"controllerrevisions":               "apps",
	"cronjobs":                          "batch",
	"csidrivers":                        "storage.k8s.io",
	"csinodes":                          "storage.k8s.io",
	"csistoragecapacities":              "storage.k8s.io",
	"daemonsets":                        "apps",
	"deployments":                       "apps",
	"deviceclasses":                     "resource.k8s.io",
	"endpointslices":                    "discovery.k8s.io",
	"flowschemas":                       "flowcontrol.apiserver.k8s.io",
	"horizontalpodautoscalers":          "autoscaling",
	"ingressclasses":                    "networking.k8s.io",
	"ingresses":                         "networking.k8s.io",
	"ipaddresses":                       "networking.k8s.io",
	"jobs":                              "batch",
	"leases":                            "coordination.k8s.io",
	"mutatingadmissionpolicies":         "admissionregistration.k8s.io",
	"mutatingadmissionpolicybindings":   "admissionregistration.k8s.io",
	"mutatingwebhookconfigurations":     "admissionregistration.k8s.io",
	"networkpolicies":                   "networking.k8s.io",
	"poddisruptionbudgets":              "policy",
	"priorityclasses":                   "scheduling.k8s.io",
	"prioritylevelconfigurations":       "flowcontrol.apiserver.k8s.io",
	"replicasets":                       "apps",
	"resourceclaims":                    "resource.k8s.io",
	"resourceclaimtemplates":            "resource.k8s.io",
	"resourceslices":                    "resource.k8s.io",
	"rolebindings":                      "rbac.authorization.k8s.io",
	"roles":                             "rbac.authorization.k8s.io",
	"runtimeclasses":                    "node.k8s.io",
	"servicecidrs":                      "networking.k8s.io",
	"statefulsets":                      "apps",
	"storageclasses":                    "storage.k8s.io",
	"validatingadmissionpolicies":       "admissionregistration.k8s.io",
	"validatingadmissionpolicybindings": "admissionregistration.k8s.io",
	"validatingwebhookconfigurations":   "admissionregistration.k8s.io",
	"volumeattachments":                 "storage.k8s.io",
	"volumeattributesclasses":           "storage.k8s.io",
}
