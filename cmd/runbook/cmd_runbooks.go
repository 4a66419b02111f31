package main

import (
	"os"

	"github.com/spf13/cobra"

	"runbook/cmd/runbook/view"
	"runbook/engine"
	"runbook/engine/lang"
	"runbook/runbooks"
)

func (a *app) runbooksCommand() *cobra.Command {
	return addJSONFlag(&cobra.Command{
		Use:   "runbooks [FILE]",
		Short: "List the runbooks that come with runbook; with FILE, tell what that one does and what it can be told",
		Long: `List the runbooks that come with runbook. With FILE, which is one of them or any
other, tell what it does: its variables with their types and defaults, its steps,
and what it hands out.`,
		Example: "  runbook runbooks etcd-recover.hcl",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.describe(args[0])
			}
			return a.listBooks()
		},
	})
}

func (a *app) listBooks() error {
	var all []view.Book
	for _, name := range runbooks.Names() {
		src, err := lang.ReadSourcesIn(runbooks.FS, name)
		if err != nil {
			return err
		}
		book, err := a.loadFrom(src)
		if err != nil {
			return err
		}
		all = append(all, view.Book{File: name, Runbook: book})
	}
	a.view.Books(all)
	return nil
}

func (a *app) describe(name string) error {
	src, err := findSources(name)
	if err != nil {
		return err
	}
	book, err := a.loadFrom(src)
	if err != nil {
		return err
	}
	a.view.Book(view.Book{File: src.All()[0].Name, Runbook: book})
	return nil
}

func (a *app) catCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cat FILE",
		Short:   "Print a runbook that comes with runbook, to be read, or changed: runbook cat etcd-recover.hcl > mine.hcl",
		Example: "  runbook cat etcd-recover.hcl",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if a.writesTo(args[0]) {
				return engine.Errorf(args[0], "what is printed goes to this very file").
					WithHint("It is empty by now. Remove it, and give what is printed another name: `runbook cat %s > mine%s`", args[0], bookSuffix)
			}
			src, err := findSources(args[0])
			if err != nil {
				return err
			}
			a.human.Text(src.All()[0].Text)
			return nil
		},
	}
}

// writesTo reports whether standard output goes to the file called name.
func (a *app) writesTo(name string) bool {
	file, err := os.Stat(name)
	if err != nil {
		return false
	}
	out, err := a.out.Stat()
	return err == nil && os.SameFile(file, out)
}
