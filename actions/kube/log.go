package kube

import (
	"github.com/hashicorp/go-hclog"
	"k8s.io/klog/v2"
)

// SetLogger makes client-go log to l, instead of to the standard error. It is
// to be called before the first action is used.
func SetLogger(l hclog.Logger) {
	klog.LogToStderr(false)
	klog.SetOutput(l.Named("kubernetes").StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}))
}
