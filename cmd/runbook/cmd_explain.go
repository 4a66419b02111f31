package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/lang"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [NAME]",
		Short: "Explain an action, data source, block or function; list them all if none is named",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				a.human.ExplainAll(a.registry())
				return nil
			}
			return a.explain(args[0])
		},
	}
}

// topic is something that can be explained. Two may share a name.
type topic struct {
	name, doc string
	show      func()
}

func (a *app) topics() []topic {
	var all []topic
	for _, s := range a.registry().Actions {
		all = append(all, topic{s.Name, s.Doc, func() { a.human.ExplainAction(s) }})
	}
	for _, s := range a.registry().Data {
		all = append(all, topic{s.Name, s.Doc, func() { a.human.ExplainData(s) }})
	}
	for _, b := range lang.Blocks() {
		all = append(all, topic{b.Name, b.Doc, func() { a.human.ExplainBlock(b) }})
	}
	for _, f := range lang.Functions() {
		all = append(all, topic{f.Name, f.Doc, func() { a.human.ExplainFunction(f) }})
	}
	return all
}

func (a *app) explain(name string) error {
	all := a.topics()
	found := 0
	for _, t := range all {
		if t.name != name {
			continue
		}
		if found++; found > 1 {
			a.human.Text("\n")
		}
		t.show()
	}
	switch {
	case found > 0:
		return nil
	case strings.HasSuffix(name, bookSuffix):
		return a.describe(name)
	}
	return engine.Errorf(name, "there is no action, data source, block or function of that name").
		WithHint("%s`runbook explain` lists them all", didYouMean(name, all))
}

// didYouMean names what the operator may have meant, if anything comes near.
func didYouMean(name string, all []topic) string {
	near := closest(name, all)
	if len(near) == 0 {
		return ""
	}
	return "Did you mean " + strings.Join(near, " or ") + "? "
}

// closest returns up to three names that are a few letters away from name, or
// have it in them; the nearest comes first.
func closest(name string, all []topic) []string {
	far := func(other string) int {
		if len(name) > 3 && strings.Contains(other, name) {
			return 0
		}
		return levenshtein.Distance(name, other, nil)
	}
	var near []string
	for _, t := range all {
		if far(t.name) <= max(1, (len(name)+2)/3) && !slices.Contains(near, t.name) {
			near = append(near, t.name)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(far(a), far(b)) })
	return near[:min(3, len(near))]
}
