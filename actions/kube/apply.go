package kube

import (
	"context"
	"encoding/json"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

func applySpec() engine.Spec {
	return engine.Spec{
		Name: "kubernetes_apply",
		Doc: "Applies manifests on the API server's side, as kubectl apply --server-side does, with the field manager \"runbook\". " +
			"The plan asks the API server to try it, and shows of each object what would change; objects in a namespace, or of a kind, that an earlier one of the same step brings are planned as created. " +
			"Where an earlier step of the runbook changes anything, be it the API server, the plan of this step is known after that one only. " +
			"Undoing the step deletes the objects that it created, unless others have made them anew, and puts the changed fields of the others back; which field belongs to which manager is not put back. " +
			"Values of Secrets are shown and recorded nowhere: the old ones are kept in the cluster as the Secret NAME.before-RUN-STEP, with a digest of the step's name, which undoing removes, and which otherwise stays until somebody deletes it.",
		Attributes: append(connectionAttributes(),
			engine.Attribute{Name: "manifests", Type: cty.String, Doc: "Objects in YAML or JSON; documents are separated by lines of ---."},
			engine.Attribute{Name: "files", Type: cty.List(cty.String), Check: checkPaths, Doc: "Absolute paths of files on the host that hold more of them."},
			engine.Attribute{Name: "namespace", Type: cty.String, Default: cty.StringVal("default"), Check: checkText, Doc: "The namespace of objects that name none."},
			engine.Attribute{Name: "force", Type: cty.Bool, Default: cty.False, Doc: "Whether to take over fields that belong to others. Without it that is an error which names them."},
			engine.Attribute{Name: "timeout_seconds", Type: cty.Number, Default: cty.NumberIntVal(60), Check: checkPositive,
				Doc: "How long to wait for a kind that an earlier object defines, and when undoing until an object is gone, in seconds."}),
		Results: []engine.Attribute{
			{Name: "created", Type: cty.List(cty.String), Doc: `The objects that were created, as "configmap production/payment".`},
			{Name: "changed", Type: cty.List(cty.String), Doc: "The objects that were changed."},
			{Name: "unchanged", Type: cty.List(cty.String), Doc: "The objects that were so already."},
		},
		Example: `step "kubernetes_apply" "maintenance_is_over" {
  namespace = "production"
  manifests = <<-EOT
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: status
    data:
      maintenance: "false"
  EOT
}`,
		New: func() engine.Action { return new(apply) },
	}
}

type apply struct {
	Kubeconfig string   `cty:"kubeconfig"`
	Context    *string  `cty:"context"`
	Manifests  *string  `cty:"manifests"`
	Files      []string `cty:"files"`
	Namespace  string   `cty:"namespace"`
	Force      bool     `cty:"force"`
	Timeout    int64    `cty:"timeout_seconds"`
}

var _ engine.Action = (*apply)(nil)

// manager is who the fields belong to that runbook applies.
const manager = "runbook"

// markAnnotation says which step of which run created an object: what tells
// Undo, and an Apply that is called again, that it is theirs.
const markAnnotation = "runbook/created-by"

// record is kubernetes_apply's Change.Data.
type record struct {
	Objects []recorded `json:"objects"`
	// Salt is that of the objects' digests.
	Salt string `json:"salt,omitempty"`
}

// recorded is one object that is created or changed.
type recorded struct {
	Nth        int    `json:"nth"` // which of the manifests it is
	APIVersion string `json:"api_version"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// Digest tells whether the manifest is still the one that was planned. It is
	// salted, because of what a Secret holds may be easy to guess.
	Digest string `json:"digest,omitempty"`
	// Mark is what marks an object as created by this step; empty where it was
	// there before.
	Mark string `json:"mark,omitempty"`
	// Back is the merge patch that puts a changed object's fields back.
	Back json.RawMessage `json:"back,omitempty"`
	// Backup is the name of the Secret that keeps a changed Secret.
	Backup string `json:"backup,omitempty"`
	// BackupMark is what marks that one as created by this step.
	BackupMark string `json:"backup_mark,omitempty"`
}

func (o recorded) place() string { return place(o.Kind, o.Namespace, o.Name) }

// Plan implements engine.Action.
func (a *apply) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	if _, err := a.parsed(); err != nil {
		return engine.Change{}, err
	}
	if step := w.Touched(); step != "" {
		return engine.Change{}, &engine.UnknownError{Step: step}
	}
	wanted, err := a.wanted(sourceIn(ctx, w))
	if err != nil {
		return engine.Change{}, err
	}
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return engine.Change{}, err
	}
	p := planner{apply: a, cli: cli, run: w.Run(), wanted: wanted, outcome: map[string][]string{"created": {}, "changed": {}, "unchanged": {}}}
	for n := range wanted {
		if err := p.object(ctx, n); err != nil {
			return engine.Change{}, failedAt("kubernetes_apply", "manifests", err)
		}
	}
	return p.change()
}
