package staticpod

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"runbook/engine"
)

// The labels and the annotation that kubelet gives to what it has run.
const (
	labelPod       = "io.kubernetes.pod.name"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelUID       = "io.kubernetes.pod.uid"
	labelContainer = "io.kubernetes.container.name"
	fromWhere      = "kubernetes.io/config.source"
)

// runtime is the host's container runtime.
type runtime struct {
	conn   *grpc.ClientConn
	client cri.RuntimeServiceClient
	socket string
}

// maxAnswer is as much as kubelet takes from a runtime in one message.
const maxAnswer = 16 << 20

// answersWithin bounds one call that only looks.
const answersWithin = 10 * time.Second

// connect makes a connection to the runtime; the first call opens it.
func connect(socket string) (*runtime, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, engine.Errorf(socket, "%w", err).WithAttribute("runtime_endpoint")
	}
	return &runtime{conn: conn, client: cri.NewRuntimeServiceClient(conn), socket: socket}, nil
}

func (r *runtime) close() { _ = r.conn.Close() } // nothing is lost with it

// A sandbox is what kubelet has made of a static pod, once. There are several
// of a pod that has been stopped and started.
type sandbox struct {
	id, pod, namespace string
	uid                string // a digest of the manifest
	ready              bool
	created            int64
	containers         []container
}

type container struct {
	id, name string
	state    cri.ContainerState
	created  int64
}

func (c container) ended() bool { return c.state == cri.ContainerState_CONTAINER_EXITED }

func (c container) runs() bool { return c.state == cri.ContainerState_CONTAINER_RUNNING }

// up reports whether anything of the sandbox runs, or could start by itself.
func (s sandbox) up() bool { return s.ready || s.holds() }

// holds reports whether a container of the sandbox runs, or may. A sandbox that
// holds none keeps nothing from starting: it is kubelet's to use again or to remove.
func (s sandbox) holds() bool {
	return slices.ContainsFunc(s.containers, func(c container) bool { return !c.ended() })
}

// runs reports whether anything of the sandbox runs.
func (s sandbox) runs() bool { return slices.ContainsFunc(s.containers, container.runs) }

// current is the container that a name stands for: the one that runs, or else
// the newest.
func (s sandbox) current(name string) (c container, ok bool) {
	for _, have := range s.containers {
		if have.name == name && (!ok || have.runs()) {
			c, ok = have, true
		}
	}
	return c, ok
}

// sandboxes lists those of static pods, the newest first.
func (r *runtime) sandboxes(ctx context.Context) ([]sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	made, err := r.client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, r.failed(err)
	}
	in, err := r.client.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return nil, r.failed(err)
	}
	var all []sandbox
	for _, m := range made.Items {
		if m.Annotations[fromWhere] != "file" {
			continue
		}
		s := sandbox{id: m.Id, pod: m.Labels[labelPod], namespace: m.Labels[labelNamespace], uid: m.Labels[labelUID],
			ready: m.State == cri.PodSandboxState_SANDBOX_READY, created: m.CreatedAt}
		for _, c := range in.Containers {
			if c.PodSandboxId == m.Id {
				s.containers = append(s.containers, container{id: c.Id, name: c.Labels[labelContainer], state: c.State, created: c.CreatedAt})
			}
		}
		slices.SortStableFunc(s.containers, func(a, b container) int { return cmp.Compare(b.created, a.created) })
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b sandbox) int { return cmp.Compare(b.created, a.created) })
	return all, nil
}

// stop stops a sandbox with its containers.
func (r *runtime) stop(ctx context.Context, s sandbox, grace time.Duration) error {
	if err := r.empty(ctx, s, grace); err != nil {
		return err
	}
	_, err := r.client.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: s.id})
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("stopping the sandbox of %s: %w", s.pod, short(err))
	}
	return nil
}

// empty stops the containers of a sandbox.
func (r *runtime) empty(ctx context.Context, s sandbox, grace time.Duration) error {
	for _, c := range s.containers {
		if err := r.end(ctx, c, grace); err != nil && status.Code(err) != codes.NotFound {
			return fmt.Errorf("stopping container %s: %w", c.name, short(err))
		}
	}
	return nil
}

// end ends a container. A runtime stops only what runs: what was made and never
// started stays as it is until it is removed.
func (r *runtime) end(ctx context.Context, c container, grace time.Duration) error {
	switch {
	case c.ended():
		return nil
	case c.state == cri.ContainerState_CONTAINER_CREATED:
		_, err := r.client.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: c.id})
		return err
	}
	_, err := r.client.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: c.id, Timeout: int64(grace.Seconds())})
	return err
}

// status tells of a container; it is nil where the runtime has none any more.
// pid is its first process, 0 where the runtime doesn't tell.
func (r *runtime) status(ctx context.Context, id string) (s *cri.ContainerStatus, pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	got, err := r.client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if status.Code(err) == codes.NotFound {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, r.failed(err)
	}
	var info struct {
		PID int `json:"pid"`
	}
	if json.Unmarshal([]byte(got.Info["info"]), &info) != nil {
		info.PID = 0 // each runtime says there what it likes
	}
	return got.Status, info.PID, nil
}

func (r *runtime) exec(ctx context.Context, container string, command []string, timeout int64) error {
	got, err := r.client.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: container, Cmd: command, Timeout: timeout})
	if err != nil {
		return short(err)
	}
	if got.ExitCode != 0 {
		return fmt.Errorf("%s exits with %d", strings.Join(command, " "), got.ExitCode)
	}
	return nil
}

func (r *runtime) failed(err error) error {
	return engine.Errorf(r.socket, "the container runtime doesn't answer: %w", short(err)).
		WithHint("See whether it runs (systemctl status containerd, or crio): without it nobody can tell which containers run.").
		WithAttribute("runtime_endpoint")
}

// short is a call's error without what gRPC puts around it.
func short(err error) error {
	if s, ok := status.FromError(err); ok {
		return errors.New(s.Message())
	}
	return err
}
