package main

import (
	"bytes"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"runbook/test/schema"
)

var product, _ = filepath.Abs("../..") // scripts run elsewhere

// validJSON holds a file to the documented format, and to a secret's not being
// in it: validjson document|events FILE.
func validJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: validjson document|events FILE")
	}
	schemas, err := schema.Load(product)
	ts.Check(err)
	text := []byte(ts.ReadFile(args[1]))
	if bytes.Contains(text, []byte("s3cret")) {
		ts.Fatalf("a secret got out:\n%s", text)
	}
	if args[0] == "document" {
		if err := schemas.Document(text); err != nil {
			ts.Fatalf("%v\n%s", err, text)
		}
		return
	}
	for line := range bytes.Lines(text) {
		if err := schemas.Event(line); err != nil {
			ts.Fatalf("%v\n%s", err, line)
		}
	}
}
