package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command, every flag of it and every exit code stands in a script.
func TestEverythingHasAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(text), "\n-- ") // without the files
		all.WriteString(script + "\n")
	}
	for _, code := range exitCodes {
		if code[0] != "0" && !strings.Contains(all.String(), "exit "+code[0]+" ") {
			t.Errorf("no script exits with %s", code[0])
		}
	}
	app := newApp(context.Background(), context.Background())
	covered(t, app.rootCommand(), all.String())
}

func covered(t *testing.T, cmd *cobra.Command, scripts string) {
	for _, sub := range cmd.Commands() {
		if sub.Name() == "help" {
			continue
		}
		covered(t, sub, scripts)
	}
	if !cmd.HasParent() {
		return
	}
	path := regexp.QuoteMeta(cmd.CommandPath())
	if cmd.Runnable() && !regexp.MustCompile(`\b`+path+`\b`).MatchString(scripts) {
		t.Errorf("%s has no script", cmd.CommandPath())
	}
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		if !regexp.MustCompile(`\b` + path + `\b[^\n]*\s--` + f.Name + `\b`).MatchString(scripts) {
			t.Errorf("%s --%s has no script", cmd.CommandPath(), f.Name)
		}
	})
}
