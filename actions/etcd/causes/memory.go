package causes

import (
	"context"
	"fmt"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"runbook/actions/etcd/diagnose"
)

// What is too few files for etcd: with none of them it doesn't start, with less
// than a thousand it may run out of connections.
const (
	noFiles  = 128
	fewFiles = 1024
)

// lookAtMemory looks for an etcd that the kernel has ended for its memory, and for
// limits that are too low.
func lookAtMemory(ctx context.Context, l *look) []finding {
	if l.works() {
		return nil
	}
	return append(l.unitLimits(), l.podMemory(ctx)...)
}

func (l *look) unitLimits() []finding {
	u, ok := l.units()[l.o.Unit]
	if !ok || l.o.Unit == "" {
		return nil
	}
	var found []finding
	if u.result == "oom-kill" {
		what := fmt.Sprintf("The kernel has ended %s, as there was no memory left for it", u.name)
		if u.memory > 0 && u.memory < 1<<62 {
			found = append(found, cause(classOutOfMemory, diagnose.Mistake, u.name, fmt.Sprintf("%s: it may use %d MiB (MemoryMax=).", what, u.memory>>20), "Raise the limit.", remedy{Command: "systemctl set-property " + u.name + " MemoryMax=infinity"}))
		} else {
			found = append(found, mistake(classOutOfMemory, u.name, diagnose.Restart, what+".", "See what took the memory, before it is started again.", "journalctl -k -g oom-kill -n 20 --no-pager"))
		}
	}
	edit := "systemctl edit " + u.name + " # [Service] LimitNOFILE=65536"
	switch {
	case u.files == 0 || u.files >= fewFiles:
	case u.files < noFiles:
		found = append(found, cause(classLowLimit, diagnose.Mistake, u.name, fmt.Sprintf("%s may open %d files (LimitNOFILE=): etcd ends with \"too many open files\".", u.name, u.files), "Raise the limit.", remedy{Command: edit}))
	default:
		found = append(found, note(classLowLimit, u.name, fmt.Sprintf("%s may open %d files (LimitNOFILE=), and every client takes one.", u.name, u.files), "Raise the limit.", edit))
	}
	return found
}

// podMemory asks the runtime how etcd's last container ended.
func (l *look) podMemory(ctx context.Context) []finding {
	s := l.etcd()
	if s.pod == nil || l.runtime().err != nil {
		return nil
	}
	conn, err := dialRuntime(l.at(l.runtime().socket))
	if err != nil {
		return nil // what is wrong with the runtime is told of it
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	client := cri.NewRuntimeServiceClient(conn)
	list, err := client.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{LabelSelector: map[string]string{"io.kubernetes.container.name": s.in.Name}}})
	if err != nil {
		return nil
	}
	var last *cri.Container
	for _, c := range list.Containers {
		if last == nil || c.CreatedAt > last.CreatedAt {
			last = c
		}
	}
	if last == nil || last.State != cri.ContainerState_CONTAINER_EXITED {
		return nil
	}
	got, err := client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: last.Id})
	if err != nil || got.Status == nil || !strings.Contains(got.Status.Reason, "OOM") {
		return nil
	}
	what := "The kernel has ended etcd's container, as there was no memory left for it"
	limit, limited := s.in.Resources.Limits["memory"]
	if !limited {
		return []finding{mistake(classOutOfMemory, s.path, diagnose.Restart, what+".", "See what took the memory, before it is started again.", "journalctl -k -g oom-kill -n 20 --no-pager")}
	}
	return []finding{cause(classOutOfMemory, diagnose.Mistake, s.path, fmt.Sprintf("%s: %s lets it have %s.", what, s.path, limit.String()), "Raise the limit in the manifest.", remedy{Command: "vi " + s.path})}
}
