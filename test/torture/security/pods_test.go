package security

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"runbook/test/fakecri"
	"runbook/test/program"
	"runbook/test/torture/tally"
)

// runtime is a container runtime without a kubelet, in which nothing runs.
var runtime = sync.OnceValues(func() (*fakecri.Fake, error) {
	const dir = "/run/security-pods"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := fakecri.Start(dir, "security")
	if err != nil {
		return nil, err
	}
	return f, f.Reset(fakecri.Behaviour{Down: true})
})

const manifest = `apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: kube-system}
spec:
  containers:
  - name: it
    command: [it, --flag=old]
    image: registry.k8s.io/it:1
`

// layPods makes dir kubelet's folder, and puts manifests into another one.
func layPods(dir, put string) func(g *ground) {
	return func(g *ground) {
		f, err := runtime()
		must(g.T, err)
		must(g.T, os.MkdirAll(g.path(dir), 0o755))
		config := fmt.Sprintf("staticPodPath: %s\ncontainerRuntimeEndpoint: unix://%s\nhealthzPort: %d\n", g.path(dir), f.Socket, f.Port)
		must(g.T, os.WriteFile(g.path("src/kubelet.yaml"), []byte(config), 0o644))
		for _, name := range []string{"one", "two"} {
			must(g.T, os.WriteFile(g.path(put+"/"+name+".yaml"), fmt.Appendf(nil, manifest, name), 0o644))
			must(g.T, os.WriteFile(g.path("victim/"+name+".yaml"), []byte(hidden), 0o600))
		}
	}
}

// Who may write in kubelet's own folder has kubelet run what they like. They
// still have no part in what is root's.
var podDeeds = []deed{
	{name: "static_pod_move", lay: layPods("u/d", "u/d"), steps: `
step "static_pod_move" "it" {
  from           = "DIR/u/d"
  to             = "DIR/out/stopped"
  pods           = ["one", "two"]
  kubelet_config = "DIR/src/kubelet.yaml"
}`},
	{name: "static_pod_move, to another disk", lay: func(g *ground) {
		layPods("u/d", "u/d")(g)
		sh(g.T, "rm -rf "+g.elsewhere())
	}, steps: `
step "static_pod_move" "it" {
  from           = "DIR/u/d"
  to             = "/dev/shmDIR"
  pods           = ["one", "two"]
  kubelet_config = "DIR/src/kubelet.yaml"
}`},
	{name: "static_pod_edit", lay: layPods("src/pods", "u/d"), steps: `
step "static_pod_edit" "it" {
  manifest       = "DIR/u/d/one.yaml"
  flags          = { flag = "new" }
  kubelet_config = "DIR/src/kubelet.yaml"
}`},
}

func TestNobodyLeadsManifestsAway(t *testing.T) {
	for _, d := range podDeeds {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d.steps = strings.ReplaceAll(d.steps, "/dev/shmDIR", s.elsewhere())
			s.standUp(d)
		})
	}
}

// elsewhere is a directory on another file system, which isn't there yet.
func (s *scene) elsewhere() string { return "/dev/shm/" + strings.ReplaceAll(s.dir, "/", "_") }

// Where kubelet's folder is root's alone, nobody else gets a pod into it by way of
// the directory in which manifests are put aside.
func TestNobodySlipsAPodIn(t *testing.T) {
	s := newScene(t)
	const out = `
step "static_pod_move" "it" {
  from           = "DIR/src/pods"
  to             = "DIR/u/d/stopped"
  pods           = ["one", "two"]
  kubelet_config = "DIR/src/kubelet.yaml"
}`
	back := strings.NewReplacer("src/pods", "u/d/stopped", "u/d/stopped", "src/pods").Replace(out)
	for name, c := range map[string]struct {
		steps string
		lay   string // a script, in the directory u
	}{
		"out":                  {out, "mkdir d/stopped; chown 4711 d/stopped; chown root . d"},
		"back":                 {back, "mkdir d/stopped; mv ../src/pods/* d/stopped; chown 4711 d/stopped; chown root . d"},
		"a directory above":    {out, "mkdir d/stopped; chown root ."},
		"one that is for all":  {out, "mkdir d/stopped; chown root . d; chmod 777 d/stopped"},
		"one that isn't there": {out, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.write(c.steps)
			g := s.newGround()
			must(t, os.Mkdir(g.path("src/pods"), 0o755))
			layPods("src/pods", "src/pods")(g)
			sh(t, "cd "+g.path("u")+"; "+c.lay)
			e := g.try("run", g.book, "--yes")
			if said := strings.Join(strings.Fields(e.Stderr), " "); e.Code == program.Done || !strings.Contains(said, "others could put a pod of theirs") {
				t.Fatalf("it is not refused: %s", e)
			}
			tally.Count(t, "ways to slip a pod of one's own in, refused", 1)
		})
	}
	t.Run("made first by somebody else", func(t *testing.T) { s.madeFirst(out) })
}

// madeFirst has mallory make, at any moment, the directory that the step makes.
func (s *scene) madeFirst(steps string) {
	s.write(steps)
	lay := func() *ground {
		g := s.newGround()
		must(g.T, os.Mkdir(g.path("src/pods"), 0o755))
		layPods("src/pods", "src/pods")(g)
		sh(g.T, "cd "+g.path("u")+"; chown root . d; chmod 1777 d")
		g.untouched = g.victim()
		return g
	}
	theirs := false
	first := attack{name: "the directory is mallory's", do: func(g *ground) error {
		stopped := g.path("u/d/stopped")
		err := os.Mkdir(stopped, 0o755)
		theirs = err == nil
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		return errors.Join(err, os.Chown(stopped, mallory, mallory))
	}}
	tried := 0
	for _, p := range lay().points(program.Done, "run", s.book, "--yes") {
		if !s.takes(first, "run", p) {
			continue
		}
		g := lay()
		if !g.attackedAt(p, first, "run", s.book, "--yes") || !theirs {
			continue
		}
		if exists(g.path("u/d/stopped/one.yaml")) {
			g.Errorf("%v: root's manifests are in mallory's directory", p)
		}
		g.check(fmt.Sprintf("%v, %s", p, first.name), first)
		tried++
	}
	tally.Count(s.T, "moments at which the owner of a directory turned it against a step", tried)
}
