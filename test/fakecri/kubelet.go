package fakecri

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/yaml"
)

// pod is what the fake's kubelet reads of a manifest.
type pod struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Containers []struct {
			Name           string `json:"name"`
			ReadinessProbe struct {
				HTTPGet struct {
					Port int `json:"port"`
				} `json:"httpGet"`
			} `json:"readinessProbe"`
		} `json:"containers"`
	} `json:"spec"`
	uid  string
	text string
}

// watch is kubelet's loop.
func (f *Fake) watch() {
	for range time.Tick(2 * time.Millisecond) {
		f.mu.Lock()
		if !f.behaviour.Down && !f.behaviour.Hangs {
			f.sync()
		}
		f.mu.Unlock()
	}
}

// Settled reports whether kubelet has nothing left to do.
func (f *Fake) Settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.behaviour.Down || f.behaviour.Hangs {
		return true
	}
	wanted := f.wanted()
	for _, s := range f.sandboxes {
		if !s.up() {
			continue
		}
		if wanted[s.name].uid != s.uid || !s.stopping.IsZero() {
			return false
		}
		delete(wanted, s.name)
	}
	return len(wanted) == 0
}

// sync does what kubelet does when something has changed.
func (f *Fake) sync() {
	wanted := f.wanted()
	for _, s := range f.sandboxes {
		if !s.up() {
			continue
		}
		if p, ok := wanted[s.name]; ok && p.uid == s.uid && s.stopping.IsZero() {
			delete(wanted, s.name)
			f.run(s, p)
			s.open()
			continue
		}
		delete(wanted, s.name) // not before the old one is gone
		if s.stopping.IsZero() {
			s.stopping = time.Now()
		}
		if time.Since(s.stopping) >= f.behaviour.StopTakes {
			s.end()
		}
	}
	for name, p := range wanted {
		f.start(name, p)
	}
}

// wanted reads the folder, as kubelet does: every file whose name doesn't begin
// with a dot.
func (f *Fake) wanted() map[string]pod {
	all := map[string]pod{}
	entries, err := os.ReadDir(f.Manifests)
	if err != nil {
		return all // a scene is being made
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(f.Manifests, e.Name()))
		var p pod
		if err != nil || strings.HasPrefix(e.Name(), ".") || yaml.Unmarshal(data, &p) != nil || p.Metadata.Name == "" {
			continue
		}
		p.text = string(data)
		p.uid = fmt.Sprintf("%x", sha256.Sum256(data))
		all[p.Metadata.Name+"-"+f.Node] = p
	}
	return all
}

// open has the sandbox's containers answer their probes.
func (s *sandbox) open() {
	for _, c := range s.containers {
		c.open()
	}
}

func (f *Fake) start(name string, p pod) {
	f.made++
	s := &sandbox{id: fmt.Sprintf("sandbox-%d", f.made), pod: p.Metadata.Name, name: name, namespace: p.Metadata.Namespace,
		uid: p.uid, ready: true, created: int64(f.made)}
	f.sandboxes = append(f.sandboxes, s)
	f.run(s, p)
}

// run starts the containers of a pod that don't run, unless kubelet is to let
// what has crashed wait.
func (f *Fake) run(s *sandbox, p pod) {
	for _, c := range p.Spec.Containers {
		last := s.last(c.Name)
		crashes := f.behaviour.Crashes != "" && strings.Contains(p.text, f.behaviour.Crashes)
		if last != nil && (last.state != cri.ContainerState_CONTAINER_EXITED || crashes && f.behaviour.CrashTimes == 0) {
			continue
		}
		f.starts++
		made := &container{id: fmt.Sprintf("container-%d-%s", f.starts, c.Name), name: c.Name, created: int64(f.starts)}
		s.containers = append(s.containers, made)
		if f.behaviour.Unstarted {
			continue // the state of one that is made
		}
		made.state = cri.ContainerState_CONTAINER_RUNNING
		if crashes && (f.behaviour.CrashTimes == 0 || s.count(c.Name) <= f.behaviour.CrashTimes) {
			f.crash(made)
			continue
		}
		if port := c.ReadinessProbe.HTTPGet.Port; port != 0 {
			address := "127.0.0.1:" + strconv.Itoa(port)
			made.listen = func() net.Listener {
				return f.serve(address, func() bool { return f.behaviour.Unready != p.Metadata.Name })
			}
		}
		made.open()
	}
}

// crash ends a container that has just been started, and writes its log.
func (f *Fake) crash(c *container) {
	c.end(1)
	if f.behaviour.Says == "" {
		return
	}
	c.log = filepath.Join(filepath.Dir(f.Socket), c.id+".log")
	var text strings.Builder
	for line := range strings.Lines(f.behaviour.Says) {
		fmt.Fprintf(&text, "%s stderr F %s", time.Now().Format(time.RFC3339Nano), line)
	}
	if os.WriteFile(c.log, []byte(text.String()), 0o600) != nil {
		c.log = "" // a scene is being taken down
	}
}

// last is the newest container of that name, and count how many there have been.
func (s *sandbox) last(name string) (newest *container) {
	for _, c := range s.containers {
		if c.name == name {
			newest = c
		}
	}
	return newest
}

func (s *sandbox) count(name string) (n int) {
	for _, c := range s.containers {
		if c.name == name {
			n++
		}
	}
	return n
}

// open has the container answer its probe. Where the address is taken it is tried
// again, as a real container does that is started anew: a process that the test has
// just forked may hold the listener of the container before for a moment.
func (c *container) open() {
	if c.probe == nil && c.listen != nil {
		c.probe = c.listen()
	}
}

// serve answers with 200 while well says so; nil where the address is taken.
func (f *Fake) serve(address string, well func() bool) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !well() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	go func() { _ = http.Serve(l, handler) }() // ends when l is closed
	return l
}

// tellHealth opens or closes kubelet's own health check.
func (f *Fake) tellHealth() error {
	if f.behaviour.Down && f.healthz != nil {
		err := f.healthz.Close()
		f.healthz = nil
		return err
	}
	if f.behaviour.Down || f.healthz != nil {
		return nil
	}
	// While it was closed, a connection of somebody else's may have been given
	// its port.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if f.healthz = f.serve("127.0.0.1:"+strconv.Itoa(f.Port), func() bool { return true }); f.healthz != nil {
			return nil
		}
		<-tick.C
	}
	return errors.New("kubelet's port is taken")
}
