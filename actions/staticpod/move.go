package staticpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/staticpod/manifest"
	"runbook/engine"
)

var moveSpec = engine.Spec{
	Name: "static_pod_move",
	Doc: "Stops or starts static pods: moves their manifests out of kubelet's folder, or back into it, and waits until their containers are gone, or up and ready. " +
		"The manifests are moved in the order of pods, one right after the other; only etcd is by itself: it is moved away once the pods before it are gone, and those behind it are put in place once it is ready. " +
		"Gone is what the container runtime says (CRI), the processes and the ports that the manifests' probes ask at. Where kubelet isn't running or takes longer than grace_seconds, the runtime is told to stop the containers. " +
		"Up is a running container, with startup and readiness probes asked as kubelet asks them (of a gRPC probe the port alone). Only kubelet starts pods, so it has to be running then. " +
		"A manifest is renamed; where the folders are on two file systems, it is copied, put in place at once, and then removed. " +
		"Pods whose manifests have been moved already are only waited for. " +
		"So a step with wait = false can put all manifests in place before kubelet is started: all pods start at once then, and later steps wait for one after the other. " +
		"Undoing the step moves the manifests back, in the opposite order, and waits for the pods that were ready before.",
	Attributes: append([]engine.Attribute{
		{Name: "from", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the directory that holds the manifests. Either it or to is kubelet's manifests folder."},
		{Name: "to", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the directory to move them to. It is made, with mode 0700, where only its last element is missing, and must not be inside kubelet's folder."},
		{Name: "pods", Type: cty.List(cty.String), Required: true, Check: checkPods,
			Doc: "The pods' names as in their manifests, without the node's name, in the order in which they are to stop or start."},
		{Name: "together", Type: cty.Bool, Default: cty.False,
			Doc: "Whether etcd is stopped with the others instead of after them: for an etcd that serves nobody any more. Pods that are started aren't concerned."},
		{Name: "keep_sandboxes", Type: cty.Bool, Default: cty.False,
			Doc: "Whether the runtime leaves the sandboxes of pods that it stops without kubelet. Kubelet uses them again, which is faster, where the manifests are back before it starts. Where it finds the manifests gone it stops the pods once more, and puts off those that come back meanwhile."},
		{Name: "wait", Type: cty.Bool, Default: cty.True,
			Doc: "Whether pods that are started are waited for, and etcd before the others. With false the manifests are put in place, all of them, and nothing more: kubelet may be down then."},
		{Name: "most_failures", Type: cty.Number, Default: cty.NumberIntVal(0), Check: checkCount,
			Doc: "How often a pod that is started may be seen to fail, its container ending by itself, before the wait ends with the reason. 0 is no bound: kubelet starts it again, and what comes up within timeout_seconds counts. What ended before the step began doesn't count, nor that kubelet is slow or lets a pod wait that has crashed."},
	}, hostAttributes()...),
	Results: []engine.Attribute{
		{Name: "stopped", Type: cty.List(cty.Object(map[string]cty.Type{"pod": cty.String, "container": cty.String, "exit_code": cty.Number})),
			Doc: "The containers that were waited for until they ended, with their exit codes; the code is null where the runtime has forgotten the container."},
		{Name: "stopped_by_runtime", Type: cty.List(cty.String), Doc: "The pods that the runtime had to be asked to stop, because kubelet didn't."},
		{Name: "seconds", Type: cty.Number, Doc: "How long it took."},
	},
	Example: `step "static_pod_move" "stop_control_plane" {
  from = "/etc/kubernetes/manifests"
  to   = "/etc/kubernetes/manifests.stopped"
  pods = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"]
}`,
	New: func() engine.Action { return new(move) },
}

type move struct {
	From          string   `cty:"from"`
	To            string   `cty:"to"`
	Pods          []string `cty:"pods"`
	Together      bool     `cty:"together"`
	Keep          bool     `cty:"keep_sandboxes"`
	Wait          bool     `cty:"wait"`
	Failures      int64    `cty:"most_failures"`
	KubeletConfig string   `cty:"kubelet_config"`
	Endpoint      *string  `cty:"runtime_endpoint"`
	Node          *string  `cty:"node"`
	Grace         int64    `cty:"grace_seconds"`
	Timeout       int64    `cty:"timeout_seconds"`
}

var _ engine.Action = (*move)(nil)

func checkPods(v cty.Value) error {
	seen := map[string]bool{}
	for _, pod := range v.AsValueSlice() {
		switch {
		case pod.IsNull() || !pod.IsKnown() || pod.AsString() == "":
			return errors.New("a pod needs a name")
		case seen[pod.AsString()]:
			return fmt.Errorf("pod %q is named twice", pod.AsString())
		}
		seen[pod.AsString()] = true
	}
	if len(seen) == 0 {
		return errors.New("at least one pod has to be named")
	}
	return nil
}

// moved is static_pod_move's record.
type moved struct {
	Kubelet kubelet    `json:"kubelet"`
	Down    bool       `json:"down,omitempty"` // kubelet, when it was planned
	Out     bool       `json:"out,omitempty"`  // away from kubelet
	From    string     `json:"from"`
	To      string     `json:"to"`
	MakesTo bool       `json:"makes_to,omitempty"`
	AtOnce  bool       `json:"at_once,omitempty"` // etcd isn't by itself
	Keep    bool       `json:"keep,omitempty"`    // the sandboxes, without kubelet
	Pods    []movedPod `json:"pods"`
}

// movedPod is one of the manifests that are moved.
type movedPod struct {
	Name    string `json:"name"`
	File    string `json:"file"`             // its name in either directory
	There   bool   `json:"there,omitempty"`  // it is at its destination already
	SHA256  string `json:"sha256,omitempty"` // empty if an earlier step is still to write it
	Staging string `json:"staging"`          // a copy of it that is being made
	Ready   bool   `json:"ready,omitempty"`  // whether the pod was up and ready
}

// Plan implements engine.Action.
func (a *move) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	k, err := readKubelet(ctx, w, a.KubeletConfig, a.Node)
	if err != nil {
		return engine.Change{}, err
	}
	if k.Socket, err = k.socket(a.Endpoint); err != nil {
		return engine.Change{}, err
	}
	rec := moved{Kubelet: k, From: filepath.Clean(a.From), To: filepath.Clean(a.To)}
	if err := a.direction(&rec); err != nil {
		return engine.Change{}, err
	}
	if err := rec.refuseExposed(func(dir string) (string, error) { return whereNow(ctx, w, dir) }); err != nil {
		return engine.Change{}, err
	}
	if err := a.destination(ctx, w, &rec); err != nil {
		return engine.Change{}, err
	}
	found, err := a.find(ctx, w, &rec)
	if err != nil {
		return engine.Change{}, err
	}
	if rec.Down, err = k.willBeDown(ctx, w); err != nil {
		return engine.Change{}, err
	}
	rec.Keep = rec.Out && a.Keep
	rec.AtOnce = rec.Out && a.Together || !rec.Out && !a.Wait
	if rec.Down && !rec.Out && a.Wait {
		return engine.Change{}, engine.Errorf("kubelet", "it isn't running, and nothing else starts static pods").
			WithHint("Start it in an earlier step (systemd_unit with state = \"started\"), or by hand; or only put the manifests in place, with wait = false.").WithAttribute("to")
	}
	return a.change(ctx, w, rec, found)
}

// direction finds out which of the two directories is kubelet's.
func (a *move) direction(rec *moved) error {
	from, to, kubelets := real(rec.From), real(rec.To), rec.Kubelet.Manifests
	switch {
	case from == to:
		return engine.Errorf(rec.To, "is the directory that the manifests are in").
			WithHint("Name another directory.").WithAttribute("to")
	case to == kubelets:
		return nil
	case inside(to, kubelets):
		return engine.Errorf(rec.To, "is inside kubelet's manifests folder").
			WithHint("Name a directory beside it, such as %s.stopped.", kubelets).WithAttribute("to")
	case from == kubelets:
		rec.Out = true
		return nil
	}
	return engine.Errorf(rec.From, "neither this nor %s is kubelet's manifests folder, which is %s", rec.To, kubelets).
		WithHint("Nothing would stop or start. Name the folder, or move files with the action move.").WithAttribute("from")
}

// destination looks at the directory that the manifests are to be in.
func (a *move) destination(ctx context.Context, w engine.World, rec *moved) error {
	to, err := w.Stat(ctx, real(rec.To))
	if err != nil {
		return err
	}
	if to.Exists && to.Type != engine.TypeDirectory {
		return engine.Errorf(rec.To, "is no directory (type %s)", to.Type).WithHint("Name a directory.").WithAttribute("to")
	}
	if rec.MakesTo = !to.Exists; to.Exists {
		return nil
	}
	parent, err := w.Stat(ctx, filepath.Dir(real(rec.To)))
	if err != nil {
		return err
	}
	if parent.Type != engine.TypeDirectory {
		return engine.Errorf(parent.Path, "there is no such directory").
			WithHint("Check the path for a typing mistake, or make the directory in an earlier step.").WithAttribute("to")
	}
	return nil
}

// change puts together what is to be done.
func (a *move) change(ctx context.Context, w engine.World, rec moved, found []manifestFile) (engine.Change, error) {
	states, err := a.states(ctx, w, &rec, found)
	if err != nil {
		return engine.Change{}, err
	}
	var c engine.Change
	for i, p := range rec.Pods {
		from, to := filepath.Join(rec.From, p.File), filepath.Join(rec.To, p.File)
		switch {
		case !p.There:
			c.Items = append(c.Items, engine.Item{Target: from, Before: "in " + rec.From, After: "in " + rec.To, Note: "pod " + p.Name + ": " + states[i].text})
			c.Effects = append(c.Effects, engine.Effect{Moved: &engine.Moved{From: from, To: to}})
		case rec.Out && states[i].up:
			c.Items = append(c.Items, engine.Item{Target: "pod " + p.Name, Before: "runs without a manifest", After: "stopped"})
		}
	}
	rec.MakesTo = rec.MakesTo && len(c.Effects) > 0
	if rec.MakesTo {
		made := madeDirectory(rec.To)
		c.Items = slices.Insert(c.Items, 0, engine.Item{Target: rec.To, Before: "absent", After: fmt.Sprintf("directory, 0700 %s:%s", made.Owner, made.Group)})
		c.Effects = slices.Insert(c.Effects, 0, engine.Effect{Created: &engine.Created{Fact: made, Empty: true}})
	}
	if !rec.Out && !a.Wait {
		c.Results = engine.Result{"stopped": []map[string]any{}, "stopped_by_runtime": []string{}, "seconds": 0}
		return c, c.SetData(rec)
	}
	end := map[bool]string{true: "gone", false: "up and ready"}[rec.Out]
	c.Checks = []string{fmt.Sprintf("%s%s %s, within %s", plural(a.Pods), map[bool]string{true: " is", false: " are"}[len(a.Pods) == 1], end, seconds(a.Timeout))}
	return c, c.SetData(rec)
}

func madeDirectory(path string) engine.PathFact {
	f := engine.PathFact{Path: path, Exists: true, Type: engine.TypeDirectory, Mode: 0o700, UID: os.Geteuid(), GID: os.Getegid()}
	f.Owner, f.Group = strconv.Itoa(f.UID), strconv.Itoa(f.GID)
	if u, err := user.LookupId(f.Owner); err == nil {
		f.Owner = u.Username
	}
	if g, err := user.LookupGroupId(f.Group); err == nil {
		f.Group = g.Name
	}
	return f
}

// state is what the runtime says of a pod.
type state struct {
	up   bool
	text string
}

// states looks what runs of the pods now. Where an earlier step will have moved
// or written a manifest, what runs now says nothing.
func (a *move) states(ctx context.Context, w engine.World, rec *moved, found []manifestFile) ([]state, error) {
	wait, err := newWaiter(rec.Kubelet, 0, 0, nil)
	if err != nil {
		return nil, err
	}
	defer wait.close()
	all, err := wait.planned(ctx, w)
	if err != nil {
		return nil, err
	}
	states := make([]state, len(found))
	var asked sync.WaitGroup
	for i, f := range found {
		its := rec.Kubelet.of(all, f.pod)
		switch states[i].up = slices.ContainsFunc(its, rec.counts()); {
		case !f.asItIs || rec.Pods[i].There && !rec.Out: // the latter is only waited for
			states[i] = state{text: "known once the earlier steps are done"}
		case !states[i].up:
			states[i].text = "not running"
			if err := rec.Kubelet.otherNode(all, f.pod); err != nil && rec.Out {
				return nil, err
			}
		case rec.Down && slices.ContainsFunc(its, sandbox.runs):
			states[i].text = "running" // whether it is ready matters to nobody
		default:
			asked.Go(func() {
				lacks := wait.missingNow(ctx, its, f.pod)
				rec.Pods[i].Ready, states[i].text = lacks == "", stateText(its, lacks)
			})
		}
	}
	asked.Wait()
	return states, nil
}

// counts tells whether a sandbox is one that has to go where its pod is stopped.
func (m moved) counts() func(sandbox) bool {
	if m.Down && m.Keep {
		return sandbox.holds
	}
	return sandbox.up
}

// stateText says in a line how a pod is that is up, and what it lacks.
func stateText(its []sandbox, lacks string) string {
	lacks, _, _ = strings.Cut(lacks, "\n")
	switch {
	case lacks == "":
		return "running and ready"
	case slices.ContainsFunc(its, sandbox.runs):
		return "running, but " + lacks
	}
	return "not running: " + lacks
}

// otherNode refuses where the pod runs under another node's name: nothing would
// be found of it later.
func (k kubelet) otherNode(all []sandbox, pod manifest.Pod) error {
	for _, s := range all {
		node, ok := strings.CutPrefix(s.pod, pod.Name+"-")
		if !ok || s.namespace != pod.Namespace || !s.holds() {
			continue
		}
		for _, c := range s.containers {
			if slices.ContainsFunc(pod.Containers, func(want manifest.Container) bool { return want.Name == c.name }) {
				return engine.Errorf("pod "+pod.Name, "%s runs, but on node %s it would be named %s", s.pod, k.Node, k.fullName(pod)).
					WithHint("If this is the pod that is meant, set node = %q.", node).WithAttribute("node")
			}
		}
	}
	return nil
}
