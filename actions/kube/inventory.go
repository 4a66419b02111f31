package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sync/errgroup"

	"runbook/engine"
)

// ephemeral are the resources that come and go by themselves, or of which
// nothing is stored.
var ephemeral = []cty.Value{
	cty.StringVal("events"), cty.StringVal("events.events.k8s.io"), cty.StringVal("leases.coordination.k8s.io"),
	cty.StringVal("endpointslices.discovery.k8s.io"), cty.StringVal("endpoints"), cty.StringVal("componentstatuses"),
	cty.StringVal("*.metrics.k8s.io"),
}

func inventorySpec() engine.DataSpec {
	return engine.DataSpec{
		Name: "kubernetes_inventory",
		Doc: "Counts what lives in Kubernetes, by kind and namespace, as etcd_inventory counts what a snapshot holds. " +
			"That the API server doesn't answer is no error: reachable is then false, and error says why. " +
			"As every data source it is read once, when the run begins; after a recovery kubernetes_compare compares.",
		Attributes: append(connectionAttributes(),
			engine.Attribute{Name: "exclude", Type: cty.List(cty.String), Default: cty.ListVal(ephemeral), Check: checkTexts,
				Doc: `Resources not to count, as "RESOURCE.GROUP", where * stands for any part of a name.`},
			engine.Attribute{Name: "names_of", Type: cty.List(cty.String), Check: checkTexts,
				Doc: `Resources whose objects' names are wanted too, as "RESOURCE.GROUP".`}),
		Results: append(answerResults(),
			engine.Attribute{Name: "counts", Type: cty.Map(cty.Number), Doc: `How many there are, by "RESOURCE.GROUP/NAMESPACE": "deployments.apps/production", "secrets/production"; with nothing after the slash where the kind has no namespace.`},
			engine.Attribute{Name: "kinds", Type: cty.Map(cty.Number), Doc: `How many there are by "RESOURCE.GROUP".`},
			engine.Attribute{Name: "namespaces", Type: cty.List(cty.String), Doc: "The namespaces that hold any of it, in the order of the alphabet."},
			engine.Attribute{Name: "names", Type: cty.Map(cty.List(cty.String)), Doc: "The names that names_of asks for, by the same keys as counts."},
			engine.Attribute{Name: "total", Type: cty.Number, Doc: "How many there are in all."}),
		Example: `data "kubernetes_inventory" "now" {
  names_of = ["deployments.apps"]
}`,
		New: func() engine.DataSource { return new(inventory) },
	}
}

// answerResults are those of every data source here.
func answerResults() []engine.Attribute {
	return []engine.Attribute{
		{Name: "reachable", Type: cty.Bool, Doc: "Whether the API server answered all that was asked."},
		{Name: "error", Type: cty.String, Doc: "Why it didn't; empty where it did."},
	}
}

type inventory struct {
	Kubeconfig string   `cty:"kubeconfig"`
	Context    *string  `cty:"context"`
	Exclude    []string `cty:"exclude"`
	NamesOf    []string `cty:"names_of"`
}

var _ engine.DataSource = (*inventory)(nil)

// Read implements engine.DataSource.
func (d *inventory) Read(ctx context.Context, _ engine.World) (engine.Result, error) {
	res := engine.Result{"counts": map[string]int{}, "kinds": map[string]int{}, "namespaces": []string{}, "names": map[string][]string{}, "total": 0}
	return answer(ctx, res, func(ctx context.Context) error {
		cli, err := connection{d.Kubeconfig, d.Context}.dial()
		if err != nil {
			return err
		}
		names, err := cli.count(ctx, func(name string) bool { return !matchesAny(d.Exclude, name) })
		if err == nil {
			d.fill(res, names)
		}
		return err
	})
}

// answer reads res by ask. That there is no answer is a fact like any other.
func answer(ctx context.Context, res engine.Result, ask func(context.Context) error) (engine.Result, error) {
	res["reachable"], res["error"] = true, ""
	if err := ask(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		res["reachable"], res["error"] = false, said(err)
	}
	return res, nil
}

func (d *inventory) fill(res engine.Result, names map[string][]string) {
	counts, kinds, wanted, total := map[string]int{}, map[string]int{}, map[string][]string{}, 0
	var namespaces []string
	for key, all := range names {
		kind, namespace, _ := strings.Cut(key, "/")
		counts[key] = len(all)
		kinds[kind] += len(all)
		total += len(all)
		if namespace != "" {
			namespaces = append(namespaces, namespace)
		}
		if slices.Contains(d.NamesOf, kind) {
			slices.Sort(all)
			wanted[key] = all
		}
	}
	slices.Sort(namespaces)
	maps.Copy(res, engine.Result{"counts": counts, "kinds": kinds, "namespaces": slices.Compact(namespaces), "names": wanted, "total": total})
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name) // a resource's name has no slash
		return err == nil && ok
	})
}

// asksAtOnce is how many lists an API server is asked for at a time.
const asksAtOnce = 4

// count lists the names of all objects of the wanted resources, by
// "RESOURCE.GROUP/NAMESPACE". Of several errors it returns that of the first
// resource.
func (c *client) count(ctx context.Context, wanted func(name string) bool) (map[string][]string, error) {
	resources, err := c.preferred(ctx)
	if err != nil {
		return nil, err
	}
	resources = slices.DeleteFunc(resources, func(r resource) bool { return !wanted(r.name()) })
	names, errs := make([]map[string][]string, len(resources)), make([]error, len(resources))
	var asked errgroup.Group
	asked.SetLimit(asksAtOnce)
	for i, r := range resources {
		asked.Go(func() error {
			names[i], errs[i] = c.countOne(ctx, r)
			return nil
		})
	}
	_ = asked.Wait() // each error is at its resource's place
	all := map[string][]string{}
	for i, r := range resources {
		if errs[i] != nil {
			return nil, fmt.Errorf("%s: %w", r.name(), errs[i])
		}
		maps.Copy(all, names[i])
	}
	return all, nil
}

// metadataOnly asks for what objects are called, and not for what they hold.
const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// nameList is the part of a list that counts here.
type nameList struct {
	Metadata struct {
		Continue string `json:"continue"`
	} `json:"metadata"`
	Items []struct {
		Metadata struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	} `json:"items"`
}

func (c *client) countOne(ctx context.Context, r resource) (map[string][]string, error) {
	all := map[string][]string{}
	prefix := path.Join("apis", r.Group, r.Version, r.Resource)
	if r.Group == "" {
		prefix = path.Join("api", r.Version, r.Resource)
	}
	query := url.Values{"limit": {strconv.Itoa(page)}}
	for {
		status, body, err := c.get(ctx, prefix, query.Encode(), metadataOnly)
		if err := answered("/"+prefix, status, body, err); err != nil {
			return nil, err
		}
		var got nameList
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			return nil, fmt.Errorf("decoding the list: %w", err)
		}
		for _, it := range got.Items {
			key := r.name() + "/" + it.Metadata.Namespace
			all[key] = append(all[key], it.Metadata.Name)
		}
		if got.Metadata.Continue == "" {
			return all, nil
		}
		query.Set("continue", got.Metadata.Continue)
	}
}
