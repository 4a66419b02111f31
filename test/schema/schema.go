// Package schema holds what the product writes for programs to the JSON Schemas
// of the documentation.
package schema

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schemas are those of docs/schema.
type Schemas struct{ document, event *jsonschema.Schema }

// Load reads the schemas of the product in dir.
func Load(dir string) (*Schemas, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"common", "document", "event"} {
		if err := add(c, filepath.Join(dir, "docs", "schema", name+".json")); err != nil {
			return nil, err
		}
	}
	document, err := c.Compile(base + "document.json")
	if err != nil {
		return nil, err
	}
	event, err := c.Compile(base + "event.json")
	return &Schemas{document: document, event: event}, err
}

// base is where the schemas' IDs say that they are. They are read from disk.
const base = "https://runbook.example/schema/"

func add(c *jsonschema.Compiler, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return c.AddResource(base+filepath.Base(path), doc)
}

// Document says what is wrong with a document, or nil.
func (s *Schemas) Document(text []byte) error { return check(s.document, text) }

// Event says what is wrong with an event, or nil.
func (s *Schemas) Event(line []byte) error { return check(s.event, line) }

func check(s *jsonschema.Schema, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}
