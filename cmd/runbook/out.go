package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/run"
)

// canWrite refuses a file that can't be written, or that holds something else, before
// the work for it is done.
func canWrite(cmd *cobra.Command) error {
	for _, dir := range written(cmd) {
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			return engine.Errorf("--out", "%s is no directory", dir)
		}
		if err := replaceable(cmd.Name(), cmd.Flags().Lookup("out").Value.String()); err != nil {
			return err
		}
	}
	return nil
}

// replaceable refuses a file whose place isn't to be taken: only what the command wrote
// before is replaced.
func replaceable(command, file string) error {
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &engine.Error{Where: file, Err: err}
	case info.IsDir():
		return engine.Errorf("--out", "%s is a directory", file).WithHint("Name a file in it")
	case !info.Mode().IsRegular():
		return engine.Errorf("--out", "%s is no regular file, and would be replaced by one", file).WithHint("Name another file")
	case info.Size() == 0 || wrote(command, file):
		return nil
	}
	return engine.Errorf("--out", "%s is there already, and is no %s", file, command).WithHint("Name another file, or move this one away")
}

// reportBegins is how a report begins, as Markdown or as a page.
var reportBegins = regexp.MustCompile(`\A(<!DOCTYPE html>\n|# \S+ on \S+: )`)

// wrote reports whether a file is what a command writes.
func wrote(command, file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close() // only read from
	var head [1024]byte
	n, _ := f.Read(head[:]) // what can't be read isn't recognised
	if command == "plan" {
		return run.IsPlanFile(string(head[:n]))
	}
	return reportBegins.Match(head[:n])
}

// written is the directory of the file that a command was asked to write.
func written(cmd *cobra.Command) []string {
	if out := cmd.Flags().Lookup("out"); out != nil && out.Value.String() != "" {
		return []string{filepath.Dir(out.Value.String())}
	}
	return nil
}
