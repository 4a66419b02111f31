// Package fakecri is a stand-in for kubelet and a container runtime, for tests
// that have to see hundreds of stops and starts, and such as a real one doesn't
// do when asked: slow, half, or not at all. It watches a folder, makes sandboxes
// and containers that are nothing but entries, and tells of them over CRI.
//
// What real ones do has to be seen on a real control plane.
package fakecri

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Behaviour is how a scene's kubelet and runtime behave.
type Behaviour struct {
	// Down is a kubelet that doesn't run, Hangs one that runs and does nothing.
	Down, Hangs bool
	// StopTakes is how long a container takes to end.
	StopTakes time.Duration
	// Crashes, where set, is a text: containers whose manifests hold it end as
	// soon as they are started.
	Crashes string
	// CrashTimes is how often what crashes does: kubelet starts it again, until it
	// stays up. 0: it stays down, as where kubelet lets it wait for a long time.
	CrashTimes int
	// Says is what containers that crash write to their logs.
	Says string
	// Unstarted has kubelet make containers and not start them, as it does where
	// it is killed in between.
	Unstarted bool
	// Unready names the pod whose probes fail.
	Unready string
	// Survivor is a process that the runtime says a container's is, and that
	// doesn't end with it.
	Survivor int
}

// A Fake is a kubelet and a runtime.
type Fake struct {
	Socket    string // the runtime's
	Manifests string // the folder that kubelet watches
	Node      string
	Port      int // where kubelet tells that it is well

	mu        sync.Mutex
	behaviour Behaviour
	sandboxes []*sandbox
	made      int // sandboxes so far
	starts    int // containers started in this scene
	healthz   net.Listener
}

type sandbox struct {
	id, pod, name, namespace, uid string
	ready                         bool
	created                       int64
	stopping                      time.Time // when its end began
	containers                    []*container
}

type container struct {
	id, name string
	log      string // path of its log
	created  int64
	state    cri.ContainerState
	exit     int32
	probe    net.Listener
	listen   func() net.Listener // opens probe; nil where there is none
}

// Start starts a fake whose socket is below dir. It lives as long as the
// process.
func Start(dir, node string) (*Fake, error) {
	f := &Fake{Socket: filepath.Join(dir, "runtime.sock"), Manifests: filepath.Join(dir, "manifests"), Node: node}
	if err := os.MkdirAll(f.Manifests, 0o700); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", f.Socket)
	if err != nil {
		return nil, err
	}
	health, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f.Port = health.Addr().(*net.TCPAddr).Port
	_ = health.Close() // behave opens it where kubelet runs
	server := grpc.NewServer()
	cri.RegisterRuntimeServiceServer(server, runtime{fake: f})
	go func() { _ = server.Serve(l) }() // ends with the process
	go f.watch()
	return f, nil
}

// Reset kills all pods and makes kubelet and runtime behave as b says.
func (f *Fake) Reset(b Behaviour) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sandboxes {
		s.end()
	}
	f.sandboxes, f.behaviour, f.starts = nil, b, 0
	return f.tellHealth()
}

// Behave changes the behaviour in the middle of a scene.
func (f *Fake) Behave(b Behaviour) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behaviour = b
	return f.tellHealth()
}

// Starts is how many containers have been started in this scene.
func (f *Fake) Starts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts
}

// Running describes the pods of which a container runs, or may, one a line.
func (f *Fake) Running() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, s := range f.sandboxes {
		if s.holds() {
			lines = append(lines, fmt.Sprintf("%s %.12s\n", s.name, s.uid))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func (s *sandbox) up() bool { return s.ready || s.holds() }

func (s *sandbox) holds() bool {
	return slices.ContainsFunc(s.containers, func(c *container) bool { return c.state != cri.ContainerState_CONTAINER_EXITED })
}

// end ends a sandbox and its containers at once.
func (s *sandbox) end() {
	for _, c := range s.containers {
		c.end(0)
	}
	s.ready = false
}

// halt does what a runtime does: what was never started doesn't end.
func (s *sandbox) halt() {
	for _, c := range s.containers {
		c.halt(0)
	}
	s.ready = false
}

func (c *container) halt(code int32) {
	if c.state == cri.ContainerState_CONTAINER_RUNNING {
		c.end(code)
	}
}

func (c *container) end(code int32) {
	if c.probe != nil {
		_ = c.probe.Close()
	}
	c.probe, c.listen = nil, nil
	if c.state != cri.ContainerState_CONTAINER_EXITED {
		c.state, c.exit = cri.ContainerState_CONTAINER_EXITED, code
	}
}

// runtime serves CRI.
type runtime struct {
	cri.UnimplementedRuntimeServiceServer
	fake *Fake
}

func (r runtime) ListPodSandbox(context.Context, *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	out := &cri.ListPodSandboxResponse{}
	for _, s := range r.fake.sandboxes {
		state := cri.PodSandboxState_SANDBOX_NOTREADY
		if s.ready {
			state = cri.PodSandboxState_SANDBOX_READY
		}
		out.Items = append(out.Items, &cri.PodSandbox{Id: s.id, State: state, CreatedAt: s.created, Labels: s.labels(),
			Annotations: map[string]string{"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": s.uid}})
	}
	return out, nil
}

func (s *sandbox) labels() map[string]string {
	return map[string]string{"io.kubernetes.pod.name": s.name, "io.kubernetes.pod.namespace": s.namespace, "io.kubernetes.pod.uid": s.uid}
}

func (r runtime) ListContainers(context.Context, *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	out := &cri.ListContainersResponse{}
	for _, s := range r.fake.sandboxes {
		for _, c := range s.containers {
			labels := s.labels()
			labels["io.kubernetes.container.name"] = c.name
			out.Containers = append(out.Containers, &cri.Container{Id: c.id, PodSandboxId: s.id, State: c.state, Labels: labels, CreatedAt: c.created})
		}
	}
	return out, nil
}

func (r runtime) ContainerStatus(_ context.Context, q *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	_, c := r.fake.find(q.ContainerId)
	if c == nil {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	return &cri.ContainerStatusResponse{
		Status: &cri.ContainerStatus{Id: c.id, State: c.state, ExitCode: c.exit, LogPath: c.log},
		Info:   map[string]string{"info": fmt.Sprintf(`{"pid":%d}`, r.fake.behaviour.Survivor)},
	}, nil
}

func (f *Fake) find(container string) (*sandbox, *container) {
	for _, s := range f.sandboxes {
		for _, c := range s.containers {
			if c.id == container {
				return s, c
			}
		}
	}
	return nil, nil
}

func (r runtime) StopContainer(ctx context.Context, q *cri.StopContainerRequest) (*cri.StopContainerResponse, error) {
	r.fake.mu.Lock()
	takes := min(r.fake.behaviour.StopTakes, time.Duration(q.Timeout)*time.Second)
	r.fake.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	if _, c := r.fake.find(q.ContainerId); c != nil {
		c.halt(137)
	}
	return &cri.StopContainerResponse{}, nil
}

func (r runtime) StopPodSandbox(_ context.Context, q *cri.StopPodSandboxRequest) (*cri.StopPodSandboxResponse, error) {
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	for _, s := range r.fake.sandboxes {
		if s.id == q.PodSandboxId {
			s.halt()
		}
	}
	return &cri.StopPodSandboxResponse{}, nil
}

func (r runtime) RemoveContainer(_ context.Context, q *cri.RemoveContainerRequest) (*cri.RemoveContainerResponse, error) {
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	if s, c := r.fake.find(q.ContainerId); c != nil {
		c.end(137)
		s.containers = slices.DeleteFunc(s.containers, func(other *container) bool { return other == c })
	}
	return &cri.RemoveContainerResponse{}, nil
}

func (r runtime) ExecSync(_ context.Context, q *cri.ExecSyncRequest) (*cri.ExecSyncResponse, error) {
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	s, _ := r.fake.find(q.ContainerId)
	if s == nil || r.fake.behaviour.Unready == s.pod {
		return &cri.ExecSyncResponse{ExitCode: 1}, nil
	}
	return &cri.ExecSyncResponse{}, nil
}
