package causes

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"runbook/actions/etcd/diagnose"
)

// lookAtImages asks the runtime for the images of the control plane.
func lookAtImages(ctx context.Context, l *look) []finding {
	if l.works() || !l.hosted() || l.runtime().err != nil {
		return nil
	}
	conn, err := dialRuntime(l.at(l.runtime().socket))
	if err != nil {
		return nil // what is wrong with the runtime is told of it
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	client := cri.NewImageServiceClient(conn)
	var found []finding
	for _, name := range controlPlane {
		m, ok := l.pods().found[name]
		if !ok {
			continue
		}
		for _, c := range m.pod.Spec.Containers {
			got, err := client.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: c.Image}})
			if err == nil && got.Image == nil {
				found = append(found, l.imageMissing(ctx, client, m, c))
			}
		}
	}
	return found
}

// imageMissing tells of an image that the runtime doesn't have. kubelet pulls it,
// unless it is told not to or has failed to.
func (l *look) imageMissing(ctx context.Context, client cri.ImageServiceClient, m manifest, c corev1.Container) finding {
	what := fmt.Sprintf("The container runtime doesn't have the image %s of %s.", c.Image, m.path)
	advice, command := "Pull it, or load it from a file.", "crictl pull "+c.Image
	if other := l.otherTag(ctx, client, c.Image); other != "" {
		what += fmt.Sprintf(" It has %s.", other)
		advice = "If that one is meant, name it in the manifest; else pull the image."
		command = fmt.Sprintf("sed -i 's#image: %s#image: %s#' %s", c.Image, other, m.path)
	}
	line := l.pullFailed(ctx, c.Image)
	switch {
	case c.ImagePullPolicy == corev1.PullNever:
		what += " kubelet is told never to pull it (imagePullPolicy)."
	case line != "":
		what += saying("kubelet", line)
	case l.unreachable(ctx, c.Image):
		what += " The name of its registry doesn't resolve."
	default:
		return note(classImageMissing, m.path, what+" kubelet pulls it, where it can.", advice, command)
	}
	return cause(classImageMissing, diagnose.Damage, m.path, what, advice, remedy{Command: command})
}

// otherTag is an image of the same name that the runtime has.
func (l *look) otherTag(ctx context.Context, client cri.ImageServiceClient, image string) string {
	list, err := client.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return ""
	}
	for _, i := range list.Images {
		for _, tag := range i.RepoTags {
			if tag != image && repository(tag) == repository(image) {
				return tag
			}
		}
	}
	return ""
}

// repository is an image's name without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		return image[:colon]
	}
	return image
}

// pullFailed is kubelet's line on an image that it couldn't pull; empty where it
// hasn't tried.
func (l *look) pullFailed(ctx context.Context, image string) string {
	for _, line := range l.journal(ctx, kubeletUnit, "ErrImage|PullImage|ImagePullBackOff") {
		if strings.Contains(line, image) {
			return line
		}
	}
	return ""
}

// unreachable reports whether the name of an image's registry doesn't resolve.
func (l *look) unreachable(ctx context.Context, image string) bool {
	registry, _, _ := strings.Cut(image, "/")
	name, _, _ := strings.Cut(registry, ":")
	return strings.Contains(name, ".") && l.resolve(ctx, name) != nil
}
