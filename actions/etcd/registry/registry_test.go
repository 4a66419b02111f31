package registry

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// stored is an object as the API server keeps those that are built in.
func stored(apiVersion, kind string) []byte {
	meta := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), apiVersion)
	meta = protowire.AppendString(protowire.AppendTag(meta, 2, protowire.BytesType), kind)
	message := protowire.AppendBytes(protowire.AppendTag([]byte("k8s\x00"), 1, protowire.BytesType), meta)
	return protowire.AppendBytes(protowire.AppendTag(message, 2, protowire.BytesType), []byte("\x0a\x02the object"))
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		key   string
		value []byte
		want  Object
	}{
		{"/registry/pods/kube-system/etcd-cp1", stored("v1", "Pod"), Object{Resource: "pods", Namespace: "kube-system"}},
		{"/registry/deployments/production/web", stored("apps/v1", "Deployment"), Object{Resource: "deployments.apps", Namespace: "production"}},
		{"/registry/minions/cp1", stored("v1", "Node"), Object{Resource: "nodes"}},
		{"/registry/services/specs/default/kubernetes", stored("v1", "Service"), Object{Resource: "services", Namespace: "default"}},
		{"/registry/services/endpoints/default/kubernetes", stored("v1", "Endpoints"), Object{Resource: "endpoints", Namespace: "default"}},
		{"/registry/controllers/default/old", stored("v1", "ReplicationController"), Object{Resource: "replicationcontrollers", Namespace: "default"}},
		{"/registry/ingress/production/web", stored("networking.k8s.io/v1", "Ingress"), Object{Resource: "ingresses.networking.k8s.io", Namespace: "production"}},
		{"/registry/clusterroles/system:node", stored("rbac.authorization.k8s.io/v1", "ClusterRole"), Object{Resource: "clusterroles.rbac.authorization.k8s.io"}},
		{"/registry/namespaces/production", stored("v1", "Namespace"), Object{Resource: "namespaces"}},
		{"/registry/apiregistration.k8s.io/apiservices/v1.apps", []byte(`{"kind":"APIService","apiVersion":"apiregistration.k8s.io/v1"}`),
			Object{Resource: "apiservices.apiregistration.k8s.io"}},
		{"/registry/apiextensions.k8s.io/customresourcedefinitions/backups.example.com", []byte(`{"apiVersion":"apiextensions.k8s.io/v1"}`),
			Object{Resource: "customresourcedefinitions.apiextensions.k8s.io"}},
		{"/registry/example.com/backups/production/nightly", []byte(`{"apiVersion":"example.com/v1","kind":"Backup"}`),
			Object{Resource: "backups.example.com", Namespace: "production"}},
		{"/registry/example.com/clusters/one", []byte(`{"apiVersion":"example.com/v1","kind":"Cluster"}`), Object{Resource: "clusters.example.com"}},
		{"/registry/secrets/production/db", []byte("k8s:enc:aescbc:v1:key1:\x00\x01\x02:\x03"),
			Object{Resource: "secrets", Namespace: "production", Encrypted: "aescbc/key1"}},
		{"/registry/statefulsets/production/db", []byte("k8s:enc:kms:v2:vault:\xff"),
			Object{Resource: "statefulsets.apps", Namespace: "production", Encrypted: "kms/vault"}},
		{"/registry/secrets/production/torn", []byte("k8s:enc:aesgcm"), Object{Resource: "secrets", Namespace: "production", Encrypted: "aesgcm"}},
		{"/registry/cronjobs/production/torn", []byte("k8s\x00\x0a\xff"), Object{Resource: "cronjobs.batch", Namespace: "production"}},
		{"/registry/leases/kube-system/scheduler", stored("coordination.k8s.io/v1", "Lease"), Object{Resource: "leases.coordination.k8s.io", Namespace: "kube-system"}},
	} {
		if got, ok := Parse("/registry", []byte(tt.key), tt.value); !ok || got != tt.want {
			t.Errorf("%s: %+v %v, want %+v", tt.key, got, ok, tt.want)
		}
	}
}

func TestParseOther(t *testing.T) {
	for _, key := range []string{
		"compact_rev_key", "/registry", "/registry/", "/registry/health", "/registryx/pods/a/b", "/calico/pods/a/b",
		"/registry/ranges/serviceips", "/registry/masterleases/10.0.0.1", "/registry/peerserverleases/one", "/registry/pods/a/b/c",
	} {
		if got, ok := Parse("/registry", []byte(key), stored("v1", "Pod")); ok {
			t.Errorf("%s: %+v", key, got)
		}
	}
	if got, ok := Parse("/k8s/", []byte("/k8s/pods/a/b"), stored("v1", "Pod")); !ok || got.Resource != "pods" {
		t.Errorf("another prefix: %+v %v", got, ok)
	}
}
