package staticpod

import (
	"context"

	"runbook/actions/staticpod/manifest"
	"runbook/engine"
)

// failures are the containers that ended by themselves while their pods were
// waited for. What had ended before is no failure of what is waited for.
type failures struct {
	most   int
	looked bool
	known  map[string]bool // by container
	of     map[string]int  // by pod
}

// see takes over what has ended of a pod, and reports the container that was one
// too many.
func (f *failures) see(pod string, its []sandbox) (last container, over bool) {
	for _, s := range its {
		for _, c := range s.containers {
			if !c.ended() || f.known[c.id] {
				continue
			}
			f.known[c.id] = true
			if f.looked {
				f.of[pod]++
				last = c
			}
		}
	}
	return last, f.most > 0 && f.of[pod] >= f.most && last.id != ""
}

// tooMany is why a pod isn't waited for any longer.
func (w *waiter) tooMany(ctx context.Context, f *failures, all []sandbox, pods []manifest.Pod) error {
	if f.known == nil {
		f.known, f.of = map[string]bool{}, map[string]int{}
	}
	defer func() { f.looked = true }()
	for _, pod := range pods {
		if c, over := f.see(pod.Name, w.kubelet.of(all, pod)); over {
			return engine.Errorf("pod "+pod.Name, "it doesn't come up, and was started %d times since the wait began: %s", f.of[pod.Name], w.crash(ctx, c)).
				WithHint("What it said should tell why; crictl ps -a and crictl logs tell more. When the cause is gone, resume.")
		}
	}
	return nil
}
