package staticpod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/zclconf/go-cty/cty"

	"runbook/actions/staticpod/manifest"
	"runbook/engine"
)

var editSpec = engine.Spec{
	Name: "static_pod_edit",
	Doc: "Changes a static pod's manifest: command-line flags and their names, the host's paths of volumes, the image. " +
		"The manifest's text is changed just where it has to be, in whatever style it is written; comments, order and quotes stay, and the result is read again and must mean what was wanted. " +
		"The file is replaced in one atomic operation. The one that was there is kept as `.NAME.replaced-RUN` in the directory above its own, where kubelet can't take it for a manifest; undoing the step brings it back. " +
		"Where the manifest is in kubelet's folder and kubelet runs, the step waits until the pod has been started anew and is ready, as static_pod_move does. " +
		"That may take kubelet a minute; between two steps static_pod_move it takes no time. " +
		"Where it says all that already, the step has nothing to do.",
	Attributes: append([]engine.Attribute{
		{Name: "manifest", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the manifest, wherever it is."},
		{Name: "container", Type: cty.String,
			Doc: "The container whose flags and image are meant. A pod with one container needs none named."},
		{Name: "rename_flags", Type: cty.Map(cty.String), Check: checkRenames,
			Doc: "Flags that get another name: the right names by the wrong ones, all without dashes. Their values stay. Where only the right one is there, there is nothing to do. This comes before flags."},
		{Name: "flags", Type: cty.Map(cty.String), Check: checkFlags,
			Doc: "Values of command-line flags, by name without dashes. A flag that isn't there is added; null takes one away."},
		{Name: "host_paths", Type: cty.Map(cty.String), Check: checkHostPaths,
			Doc: "Absolute paths on the host, by the names of the hostPath volumes that are to have them."},
		{Name: "image", Type: cty.String, Check: checkImage, Doc: "The container's image."},
	}, hostAttributes()...),
	Results: []engine.Attribute{
		{Name: "manifest", Type: cty.String, Doc: "The manifest's path."},
		{Name: "kept", Type: cty.String, Doc: "Where the old manifest is kept; null where nothing had to be done."},
	},
	Example: `step "static_pod_edit" "new_token" {
  manifest = "/etc/kubernetes/manifests.stopped/etcd.yaml"
  flags = {
    initial-cluster-token = "etcd-restored"
    force-new-cluster     = null
  }
  host_paths = {
    etcd-data = "/var/lib/etcd-restored"
  }
}`,
	New: func() engine.Action { return new(edit) },
}

type edit struct {
	Manifest      string             `cty:"manifest"`
	Container     *string            `cty:"container"`
	Renames       map[string]string  `cty:"rename_flags"`
	Flags         map[string]*string `cty:"flags"`
	HostPaths     map[string]string  `cty:"host_paths"`
	Image         *string            `cty:"image"`
	KubeletConfig string             `cty:"kubelet_config"`
	Endpoint      *string            `cty:"runtime_endpoint"`
	Node          *string            `cty:"node"`
	Grace         int64              `cty:"grace_seconds"`
	Timeout       int64              `cty:"timeout_seconds"`
}

var _ engine.Action = (*edit)(nil)

var flagName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func checkFlags(v cty.Value) error {
	for name, value := range v.AsValueMap() {
		if !flagName.MatchString(name) {
			return fmt.Errorf("%q is no flag's name: write it without dashes in front and without its value", name)
		}
		if !value.IsNull() && value.IsKnown() && strings.ContainsAny(value.AsString(), "\r\n\x00") {
			return fmt.Errorf("the value of %s must be on one line", name)
		}
	}
	return nil
}

func checkRenames(v cty.Value) error {
	renamed := map[string]string{}
	for from, to := range v.AsValueMap() {
		if to.IsNull() || !to.IsKnown() {
			return fmt.Errorf("the flag %s needs its new name; to take it away, set it to null in flags", from)
		}
		name := to.AsString()
		for _, n := range []string{from, name} {
			if !flagName.MatchString(n) {
				return fmt.Errorf("%q is no flag's name: write it without dashes in front and without its value", n)
			}
		}
		if from == name {
			return fmt.Errorf("the flag %s has that name already", from)
		}
		if other, taken := renamed[name]; taken {
			return fmt.Errorf("both %s and %s would be named %s", min(from, other), max(from, other), name)
		}
		renamed[name] = from
	}
	return nil
}

func checkHostPaths(v cty.Value) error {
	for name, path := range v.AsValueMap() {
		if path.IsNull() {
			return fmt.Errorf("the volume %s needs a path", name)
		}
		if err := checkPath(path); err != nil {
			return fmt.Errorf("volume %s: %w", name, err)
		}
	}
	return nil
}

func checkImage(v cty.Value) error {
	if v.AsString() == "" || strings.ContainsAny(v.AsString(), " \t\r\n") {
		return errors.New("an image is written name:tag, without spaces")
	}
	return nil
}

// edited is static_pod_edit's record. The new text isn't in it: each call makes
// it from the old one.
type edited struct {
	Path    string   `json:"path"`
	Old     string   `json:"old"`     // digest of the text that was there
	New     string   `json:"new"`     // digest of the text that is to be there
	Kept    string   `json:"kept"`    // the old file
	Undone  string   `json:"undone"`  // the new one, after it was undone
	Staging string   `json:"staging"` // what is being put at Path
	Pod     string   `json:"pod"`
	Live    bool     `json:"live,omitempty"` // kubelet runs the pod, and it is waited for
	Kubelet kubelet  `json:"kubelet,omitzero"`
	Was     []string `json:"was,omitempty"`   // the UIDs of the pod's sandboxes
	Ready   bool     `json:"ready,omitempty"` // whether the pod was ready
}

func (a *edit) wanted() manifest.Edit {
	e := manifest.Edit{Renames: a.Renames, Flags: a.Flags, HostPaths: a.HostPaths}
	if a.Container != nil {
		e.Container = *a.Container
	}
	if a.Image != nil {
		e.Image = *a.Image
	}
	return e
}

// Plan implements engine.Action.
func (a *edit) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	path := filepath.Clean(a.Manifest)
	if len(a.Renames) == 0 && len(a.Flags) == 0 && len(a.HostPaths) == 0 && a.Image == nil {
		return engine.Change{}, engine.Errorf(path, "nothing is to be changed in it").
			WithHint("Set flags, rename_flags, host_paths or image.").WithAttribute("manifest")
	}
	now, err := w.Stat(ctx, path)
	if err != nil {
		return engine.Change{}, err
	}
	if now.Type != engine.TypeFile {
		return engine.Change{}, noManifest(now)
	}
	old, err := readSource(ctx, w, path)
	if err != nil {
		return engine.Change{}, err
	}
	text, differences, err := a.wanted().Apply(old)
	if err != nil {
		return engine.Change{}, engine.Errorf(path, "%w", err).
			WithHint("Look at the manifest; what can't be edited in place has to be written by hand (write_file).").WithAttribute("manifest")
	}
	pod, err := manifest.Parse(text)
	if err != nil {
		return engine.Change{}, engine.Errorf(path, "%w", err).WithAttribute("manifest")
	}
	rec := edited{Path: path, Old: digest(old), New: digest(text), Pod: pod.Name}
	if err := a.live(ctx, w, &rec, pod); err != nil {
		return engine.Change{}, err
	}
	return a.change(ctx, w, rec, now, old, text, differences)
}

func noManifest(now engine.PathFact) error {
	if !now.Exists {
		return engine.Errorf(now.Path, "there is no such file").
			WithHint("Name the manifest where it is by then: an earlier step may have moved it.").WithAttribute("manifest")
	}
	return engine.Errorf(now.Path, "is no regular file (type %s)", now.Type).WithHint("Name the manifest itself.").WithAttribute("manifest")
}

// live finds out whether kubelet runs the manifest, and what it has made of it.
func (a *edit) live(ctx context.Context, w engine.World, rec *edited, pod manifest.Pod) error {
	config, err := w.Stat(ctx, a.KubeletConfig)
	if err != nil || !config.Exists { // no kubelet has ever run here
		return err
	}
	k, err := readKubelet(ctx, w, a.KubeletConfig, a.Node)
	if err != nil || real(filepath.Dir(rec.Path)) != k.Manifests {
		return err
	}
	if k.Socket, err = k.socket(a.Endpoint); err != nil {
		return err
	}
	down, err := k.willBeDown(ctx, w)
	if err != nil || down {
		return err
	}
	rec.Live, rec.Kubelet = true, k
	wait, err := newWaiter(k, 0, 0, nil)
	if err != nil {
		return err
	}
	defer wait.close()
	all, err := wait.planned(ctx, w)
	if err != nil {
		return err
	}
	its := k.of(all, pod)
	for _, s := range its {
		if s.up() {
			rec.Was = append(rec.Was, s.uid)
		}
	}
	if len(its) == 0 {
		return k.otherNode(all, pod)
	}
	rec.Ready = wait.missingNow(ctx, its, pod) == ""
	return nil
}

func (a *edit) change(ctx context.Context, w engine.World, rec edited, now engine.PathFact, old, text []byte, differences []manifest.Difference) (engine.Change, error) {
	c := engine.Change{Results: engine.Result{"manifest": rec.Path, "kept": nil}}
	if rec.Live {
		c.Checks = []string{fmt.Sprintf("%s is up and ready, within %s", rec.Pod, seconds(a.Timeout))}
	}
	for _, d := range differences {
		c.Items = append(c.Items, engine.Item{Target: rec.Path, Attribute: d.What, Before: d.Before, After: d.After})
	}
	if c.Empty() {
		rec.Was = nil
		return c, c.SetData(rec)
	}
	if err := rec.names(ctx, w); err != nil {
		return engine.Change{}, err
	}
	c.Items[0].Diff = textDiff(rec.Path, old, text, now.Mode)
	c.Items[0].Note = "the old one is kept at " + rec.Kept
	c.Kept, c.UndoKept = []string{rec.Kept}, []string{rec.Undone}
	c.Results["kept"] = rec.Kept
	now = engine.PathFact{Path: rec.Path, Exists: true, Type: engine.TypeFile, Size: int64(len(text)),
		UID: now.UID, GID: now.GID, Owner: now.Owner, Group: now.Group, Mode: now.Mode}
	c.Effects = []engine.Effect{{Copied: &engine.Copied{From: rec.Path, To: rec.Kept, Bytes: int64(len(old))}}, {Created: &engine.Created{Fact: now, Bytes: now.Size}}}
	return c, c.SetData(rec)
}

// names chooses names that are free.
func (r *edited) names(ctx context.Context, w engine.World) error {
	dir, base := filepath.Split(r.Path)
	above := filepath.Dir(filepath.Clean(dir))
	for n := 1; ; n++ {
		suffix := "-" + w.Run().ID
		if n > 1 {
			suffix += fmt.Sprintf(".%d", n)
		}
		r.Staging = filepath.Join(dir, "."+base+".editing"+suffix)
		r.Kept = filepath.Join(above, "."+base+".replaced"+suffix)
		r.Undone = filepath.Join(above, "."+base+".undone"+suffix)
		free := true
		for _, path := range []string{r.Staging, r.Kept, r.Undone} {
			fact, err := w.Stat(ctx, path)
			if err != nil {
				return err
			}
			free = free && !fact.Exists
		}
		if free {
			return nil
		}
	}
}

// textDiff is the difference of two manifests. Of one that not everybody may
// read it shows the lines that change and none beside them.
func textDiff(path string, old, text []byte, mode uint32) string {
	out := diff.Diff(path, old, path, text)
	_, out, _ = bytes.Cut(out, []byte("\n")) // its first line names a command
	if mode&0o004 != 0 {
		return string(out)
	}
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, " ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// text makes the new text from the old one at path.
func (a *edit) text(rec edited, path string) ([]byte, fs.FileInfo, error) {
	old, info, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	text, _, err := a.wanted().Apply(old)
	if err != nil {
		return nil, nil, &engine.Error{Where: path, Err: err}
	}
	if digest(text) != rec.New {
		return nil, nil, rec.changed()
	}
	return text, info, nil
}

func (r edited) changed() error {
	return engine.Errorf(r.Path, "something else is here than when the step was planned").
		WithHint("Look who has changed it, then plan again.")
}
