package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
	kubeyaml "sigs.k8s.io/yaml"
)

// manifest is a pod's text with what a parser found in it, and where.
type manifest struct {
	text  []byte
	root  *yaml.Node
	lines []int // where each line begins
}

func open(text []byte) (*manifest, error) {
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&doc); err != nil {
		return nil, fmt.Errorf("it is no YAML: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it holds more than one document")
	}
	m := &manifest{text: text, root: doc.Content[0], lines: []int{0}}
	if kind := value(m.root, "kind"); kind == nil || kind.Value != "Pod" {
		return nil, errors.New("it describes no Pod")
	}
	for i, c := range text {
		if c == '\n' {
			m.lines = append(m.lines, i+1)
		}
	}
	return m, nil
}

// decoded is what a text means.
func decoded(text []byte) (map[string]any, error) {
	var doc any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	pod, _ := asJSON(doc).(map[string]any) // open has seen that it is one
	return pod, nil
}

// asJSON gives all keys the type that they have for kubelet, which reads a
// manifest as JSON.
func asJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, its := range v {
			v[key] = asJSON(its)
		}
	case map[any]any:
		out := map[string]any{}
		for key, its := range v {
			out[fmt.Sprint(key)] = asJSON(its)
		}
		return out
	case []any:
		for i, its := range v {
			v[i] = asJSON(its)
		}
	}
	return v
}

// value is the value of a key in a mapping, or nil.
func value(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// at is the value that the keys lead to from the top, or nil.
func (m *manifest) at(keys ...string) *yaml.Node {
	node := m.root
	for _, key := range keys {
		node = value(node, key)
	}
	return node
}

// named returns the index of the one in a list that has the name.
func named(list *yaml.Node, what, name string) (int, error) {
	var names []string
	if list != nil && list.Kind == yaml.SequenceNode {
		for i, item := range list.Content {
			its := value(item, "name")
			if its == nil {
				continue
			}
			if its.Value == name {
				return i, nil
			}
			names = append(names, its.Value)
		}
	}
	return 0, fmt.Errorf("it has no %s %q; there is %s", what, name, strings.Join(append(names, "nothing else"), ", "))
}

// container returns the index of the container that is meant.
func (m *manifest) container(name string) (int, error) {
	list := m.at("spec", "containers")
	if name != "" {
		return named(list, "container", name)
	}
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) != 1 {
		return 0, errors.New("it has not exactly one container, so the container has to be named")
	}
	return 0, nil
}

// replaced is the revision that puts another text in place of a scalar.
func (m *manifest) replaced(node *yaml.Node, what, text string, intend func(map[string]any)) (*revision, error) {
	from, to, err := m.span(node)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if node.Value == text {
		return nil, nil
	}
	return &revision{
		Difference: Difference{What: what, Before: node.Value, After: text},
		splices:    []splice{{from, to, quoted(text, node.Style)}},
		intend:     intend,
	}, nil
}

// span is where a scalar is written. Only such as are on one line can be
// replaced.
func (m *manifest) span(node *yaml.Node) (from, to int, err error) {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		return 0, 0, errors.New("it is shared by an anchor (& or *), so it can't be changed by itself")
	case node.Kind != yaml.ScalarNode:
		return 0, 0, errors.New("it is no plain text")
	}
	from, ok := m.offset(node.Line, node.Column)
	if !ok {
		return 0, 0, errors.New("its place in the text can't be told")
	}
	end := written(string(m.text[from:]), node)
	if end <= 0 || strings.ContainsAny(string(m.text[from:from+end]), "\r\n") {
		return 0, 0, errors.New("it is written over several lines or with a tag, which can't be changed in place")
	}
	return from, from + end, nil
}

// written returns how long the scalar is that text begins with, or 0.
func written(text string, node *yaml.Node) int {
	switch {
	case node.Style == 0 && strings.HasPrefix(text, node.Value):
		return len(node.Value)
	case node.Style == yaml.SingleQuotedStyle && strings.HasPrefix(text, "'"):
		for i := 1; i < len(text); i++ {
			if text[i] != '\'' {
				continue
			}
			if !strings.HasPrefix(text[i+1:], "'") {
				return i + 1
			}
			i++
		}
	case node.Style == yaml.DoubleQuotedStyle && strings.HasPrefix(text, `"`):
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
	}
	return 0
}

// offset is the byte at a line and a column, both counted from 1, the column in
// characters.
func (m *manifest) offset(line, column int) (int, bool) {
	if line < 1 || line > len(m.lines) {
		return 0, false
	}
	at := m.lines[line-1]
	n := 1
	for i := range string(m.text[at:]) {
		if n == column {
			return at + i, true
		}
		n++
	}
	return 0, false
}

// lineEnd is where the line of the byte at ends, behind its line break.
func (m *manifest) lineEnd(at int) int {
	if i := bytes.IndexByte(m.text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(m.text)
}

// lineStart is where the line of the byte at begins.
func (m *manifest) lineStart(at int) int { return bytes.LastIndexByte(m.text[:at], '\n') + 1 }

// quoted writes a text as a scalar, with the quotes of its neighbour where they
// can hold it.
func quoted(text string, like yaml.Style) string {
	switch {
	case like == 0 && isPlain(text):
		return text
	case like == yaml.SingleQuotedStyle && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a text can always be encoded
	return strings.TrimSuffix(out.String(), "\n")
}

// isPlain reports whether a text needs no quotes, wherever it stands, to be
// this text for kubelet's parser as for ours.
func isPlain(text string) bool {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		return false
	}
	for _, list := range []string{"[" + text + "]", "- " + text + "\n"} {
		var ours, kubelets []any
		if yaml.Unmarshal([]byte(list), &ours) != nil || kubeyaml.Unmarshal([]byte(list), &kubelets) != nil ||
			len(ours) != 1 || ours[0] != any(text) || len(kubelets) != 1 || kubelets[0] != any(text) {
			return false
		}
	}
	return true
}
