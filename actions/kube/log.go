package kube

import (
	"strings"

	"github.com/go-logr/logr/funcr"
	"github.com/hashicorp/go-hclog"
	"k8s.io/klog/v2"
)

// SetLogger makes client-go log to l, instead of to the standard error. It is
// to be called before the first action is used.
func SetLogger(l hclog.Logger) {
	l = l.Named("kubernetes")
	klog.SetLogger(funcr.New(func(prefix, args string) {
		l.Debug(strings.TrimSpace(prefix + " " + args))
	}, funcr.Options{}))
}
