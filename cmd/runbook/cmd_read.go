package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/lang"
)

func (a *app) readCommand() *cobra.Command {
	return addJSONFlag(&cobra.Command{
		Use:     "read TYPE [NAME=VALUE]...",
		Short:   "Read a data source and show what it says; changes nothing",
		Example: "  runbook read etcd_diagnosis",
		Long: `Read a data source and show what it says, without a runbook; changes nothing.
NAME=VALUE sets an attribute: a text as it is, anything else as a runbook has it
(keys=100, backups='["/var/backups/etcd"]'). runbook explain TYPE lists the
attributes and the results.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.read(args[0], args[1:]) },
	})
}

func (a *app) read(name string, args []string) error {
	spec, ok := a.registry().DataSource(name)
	if !ok {
		return engine.Errorf(name, "there is no data source of that name").
			WithHint("%s`runbook explain` lists them all", didYouMean(name, a.dataTopics()))
	}
	config, err := lang.Arguments(spec.Attributes, args)
	if err != nil {
		return &engine.Error{Where: name, Err: err, Hint: "`runbook explain " + name + "` lists the attributes"}
	}
	raw, err := engine.EncodeConfig(spec.Attributes, config)
	if err != nil {
		return err
	}
	now := engine.RunInfo{ID: engine.PlannedRunID, Runbook: "read", Started: time.Now().UTC().Truncate(time.Second)}
	res, err := a.host().Read(a.stop, engine.DataRequest{Run: now, Type: name, Config: raw})
	if err != nil {
		return err
	}
	a.view.Read(spec, res)
	return nil
}

func (a *app) dataTopics() []topic {
	var all []topic
	for _, s := range a.registry().Data {
		all = append(all, topic{name: s.Name})
	}
	return all
}

// completeData offers the data sources, then the attributes of the one on the
// line that aren't set yet.
func (a *app) completeData(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var found []string
	if len(args) == 0 {
		for _, s := range a.registry().Data {
			if strings.HasPrefix(s.Name, typed) {
				summary, _, _ := strings.Cut(s.Doc, ". ")
				found = append(found, s.Name+"\t"+summary)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
	spec, _ := a.registry().DataSource(args[0])
	given := strings.Join(args[1:], "\n") + "\n"
	for _, d := range spec.Attributes {
		if strings.HasPrefix(d.Name, typed) && !strings.HasPrefix(given, d.Name+"=") && !strings.Contains(given, "\n"+d.Name+"=") {
			found = append(found, d.Name+"=\t"+d.Doc)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
