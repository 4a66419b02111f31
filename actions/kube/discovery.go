package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// resource is one kind of object that the API server knows, in one version.
type resource struct {
	schema.GroupVersionResource
	kind       string
	namespaced bool
	listable   bool
}

// name is "RESOURCE.GROUP", and of the core group "RESOURCE".
func (r resource) name() string { return r.GroupResource().String() }

// in is the resource's objects in a namespace, or in all where it is empty.
func (r resource) in(c *client, namespace string) dynamic.ResourceInterface {
	if !r.namespaced || namespace == "" {
		return c.objects.Resource(r.GroupVersionResource)
	}
	return c.objects.Resource(r.GroupVersionResource).Namespace(namespace)
}

// aggregated asks for everything in one answer, which API servers give since
// Kubernetes 1.26. client-go's own discovery would bring every type of
// Kubernetes into the program, and twice its size.
const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

// groups is the part of an APIGroupDiscoveryList that counts here.
type groups struct {
	Kind  string `json:"kind"`
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Versions []struct { // the preferred one first
			Version   string `json:"version"`
			Freshness string `json:"freshness"`
			Resources []struct {
				Resource     string `json:"resource"`
				ResponseKind *struct {
					Kind string `json:"kind"`
				} `json:"responseKind"`
				Scope string   `json:"scope"`
				Verbs []string `json:"verbs"`
			} `json:"resources"`
		} `json:"versions"`
	} `json:"items"`
}

// discover lists what the API server knows, and keeps the answer.
func (c *client) discover(ctx context.Context) ([]resource, error) {
	if c.resources != nil {
		return c.resources, nil
	}
	var all []resource
	for _, path := range []string{"/api", "/apis"} {
		status, body, err := c.get(ctx, path, "", aggregated)
		if err := answered(path, status, body, err); err != nil {
			return nil, err
		}
		var g groups
		if err := json.Unmarshal([]byte(body), &g); err != nil {
			return nil, failed(path, err)
		}
		all = append(all, g.resources()...)
	}
	c.resources = all
	return all, nil
}

// resources lists them with the preferred version of each first.
func (g groups) resources() []resource {
	var all []resource
	for _, group := range g.Items {
		for _, v := range group.Versions {
			for _, r := range v.Resources {
				if r.ResponseKind == nil {
					continue
				}
				gvr := schema.GroupVersionResource{Group: group.Metadata.Name, Version: v.Version, Resource: r.Resource}
				all = append(all, resource{gvr, r.ResponseKind.Kind, r.Scope == "Namespaced", slices.Contains(r.Verbs, "list")})
			}
		}
	}
	return all
}

// of finds the resource of a kind, such as "apps/v1" and "Deployment".
func (c *client) of(ctx context.Context, apiVersion, kind string) (resource, error) {
	all, err := c.discover(ctx)
	if err != nil {
		return resource{}, err
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return resource{}, failed(apiVersion, err).WithAttribute("api_version")
	}
	for _, r := range all {
		if r.kind == kind && r.GroupVersion() == gv {
			return r, nil
		}
	}
	c.resources = nil // it may yet come
	return resource{}, unknownKind{apiVersion, kind}
}

// unknownKind says that the API server has no such kind.
type unknownKind struct{ apiVersion, kind string }

func (e unknownKind) Error() string {
	return "the API server knows no kind " + e.kind + " of " + e.apiVersion
}

// preferred lists the resources that can be listed, each in one version.
func (c *client) preferred(ctx context.Context) ([]resource, error) {
	all, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	var out []resource
	seen := map[string]bool{}
	for _, r := range all {
		if r.listable && !seen[r.name()] {
			seen[r.name()] = true
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b resource) int { return cmp.Compare(a.name(), b.name()) })
	return out, nil
}

// place is how an object is spoken of: "deployment production/payment".
func place(kind, namespace, name string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return strings.ToLower(kind) + " " + name
}
