package kube

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"runbook/engine"
)

// parse reads the documents of a YAML or JSON text. name is what it is called
// in errors.
func parse(name, attribute, text string) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	reader := yamlreader.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		var objects []unstructured.Unstructured
		if err == nil {
			objects, err = parseDocument(doc)
		}
		if err != nil {
			return nil, engine.Errorf(name, "document %d is no manifest: %w", n, err).
				WithHint("A manifest has apiVersion, kind and metadata.name; documents are separated by lines of ---.").WithAttribute(attribute)
		}
		all = append(all, objects...)
	}
}

func parseDocument(doc []byte) ([]unstructured.Unstructured, error) {
	data, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, err
	}
	if string(bytes.TrimSpace(data)) == "null" {
		return nil, nil // nothing but comments
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	if !u.IsList() {
		return []unstructured.Unstructured{u}, complete(u)
	}
	list, err := u.ToList()
	if err != nil {
		return nil, err
	}
	for _, it := range list.Items {
		if err := complete(it); err != nil {
			return nil, err
		}
	}
	return list.Items, nil
}

func complete(u unstructured.Unstructured) error {
	switch {
	case u.GetAPIVersion() == "" || u.GetKind() == "":
		return errors.New("it has no apiVersion or no kind")
	case u.GetName() == "":
		return fmt.Errorf("a %s has no metadata.name, and one that the server chooses couldn't be found again", u.GetKind())
	}
	return nil
}

// parsed are the objects of the inline manifests.
func (a *apply) parsed() ([]unstructured.Unstructured, error) {
	if a.Manifests == nil && len(a.Files) == 0 {
		return nil, engine.Errorf("kubernetes_apply", "there is nothing to apply").
			WithHint("Set manifests, files or both.").WithAttribute("manifests")
	}
	return parse("manifests", "manifests", deref(a.Manifests))
}

// wanted are all objects that are to be. source tells where a file can be read.
func (a *apply) wanted(source func(string) (string, error)) ([]unstructured.Unstructured, error) {
	all, err := a.parsed()
	if err != nil {
		return nil, err
	}
	for _, path := range a.Files {
		now, err := source(path)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(now)
		if err != nil {
			return nil, engine.Errorf(path, "the manifest can't be read: %w", err).WithHint("Check the path.").WithAttribute("files")
		}
		more, err := parse(path, "files", string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	if len(all) == 0 {
		return nil, engine.Errorf("kubernetes_apply", "the manifests hold no object").
			WithHint("Is the text, or the file, the one that is meant?").WithAttribute("manifests")
	}
	return all, nil
}

func sourceIn(ctx context.Context, w engine.World) func(string) (string, error) {
	return func(path string) (string, error) {
		now, err := w.Source(ctx, path)
		if unknown := (*engine.UnknownError)(nil); err != nil && !errors.As(err, &unknown) {
			return "", engine.Errorf(path, "the manifest can't be read: %w", err).WithHint("Check the path.").WithAttribute("files")
		}
		return now, err
	}
}

func asItIs(path string) (string, error) { return path, nil }
