package manifest

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// flagChange sets a command-line flag of a container, or takes it away.
type flagChange struct {
	container, name string
	value           *string
}

// word is one element of a container's command or args.
type word struct {
	list string // the key of its list
	i    int    // its index there
	node *yaml.Node
}

func (w word) text() string { return w.node.Value }

// occurrence is where a flag is: in one word, or in two.
type occurrence struct {
	flag  word
	value *word // the next word, where it holds the value
}

// joined reports whether the flag is written --name=value.
func (o occurrence) joined() bool { return strings.Contains(o.flag.text(), "=") }

func (o occurrence) set() string {
	if o.value != nil {
		return o.value.text()
	}
	_, value, joined := strings.Cut(o.flag.text(), "=")
	if !joined {
		return "set without a value"
	}
	return value
}

func (c flagChange) what() string { return "flag --" + c.name }

func (c flagChange) find(m *manifest) (*revision, error) {
	i, err := m.container(c.container)
	if err != nil {
		return nil, err
	}
	words, err := m.words(i)
	if err != nil {
		return nil, err
	}
	at, err := occurrenceOf(words, c.name)
	if err != nil {
		return nil, err
	}
	var r *revision
	switch {
	case at == nil && c.value == nil:
		return nil, nil
	case at == nil:
		r, err = c.add(m, i, words)
	case c.value == nil:
		r, err = c.remove(m, i, at)
	default:
		r, err = c.replace(m, i, at)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.what(), err)
	}
	return r, nil
}

// words are the container's command and its args, in that order.
func (m *manifest) words(container int) ([]word, error) {
	var all []word
	node := m.at("spec", "containers").Content[container]
	for _, key := range []string{"command", "args"} {
		list := value(node, key)
		if list == nil {
			continue
		}
		if list.Kind != yaml.SequenceNode || list.Anchor != "" {
			return nil, fmt.Errorf("its %s is no list of its own", key)
		}
		for i, item := range list.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("its %s holds something that is no text", key)
			}
			all = append(all, word{key, i, item})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("the container has neither command nor args, so there is no place for flags")
	}
	if isScript(all) {
		return nil, errors.New("the container starts a shell's script, in which flags can't be told from all else")
	}
	return all, nil
}

var shells = []string{"sh", "bash", "dash", "ash"}

func isScript(words []word) bool {
	return len(words) > 1 && slices.Contains(shells, path.Base(words[0].text())) &&
		slices.ContainsFunc(words[1:], func(w word) bool {
			return strings.HasPrefix(w.text(), "-") && !strings.HasPrefix(w.text(), "--") && strings.HasSuffix(w.text(), "c")
		})
}

// occurrenceOf finds the one occurrence of a flag, with one dash or two, or nil.
func occurrenceOf(words []word, name string) (*occurrence, error) {
	var found *occurrence
	for i, w := range words {
		bare := strings.TrimPrefix(strings.TrimPrefix(w.text(), "-"), "-")
		its, _, joined := strings.Cut(bare, "=")
		if !strings.HasPrefix(w.text(), "-") || its != name {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("flag --%s is set more than once", name)
		}
		found = &occurrence{flag: w}
		if !joined && i+1 < len(words) && !strings.HasPrefix(words[i+1].text(), "-") {
			found.value = &words[i+1]
		}
	}
	return found, nil
}

// replace gives a flag that is there another value.
func (c flagChange) replace(m *manifest, container int, at *occurrence) (*revision, error) {
	target, text := at.flag, at.flag.text()+"="+*c.value
	switch {
	case at.value != nil && strings.HasPrefix(*c.value, "-"):
		return nil, errors.New("it is written apart from its value, and this one would be taken for a flag")
	case at.value != nil:
		target, text = *at.value, *c.value
	case at.joined():
		name, _, _ := strings.Cut(at.flag.text(), "=")
		text = name + "=" + *c.value
	}
	r, err := m.replaced(target.node, c.what(), text, func(doc map[string]any) {
		containerOf(doc, container)[target.list].([]any)[target.i] = text
	})
	if r != nil {
		r.Before, r.After = at.set(), *c.value
	}
	return r, err
}

// add puts a flag that isn't there behind the last word.
func (c flagChange) add(m *manifest, container int, words []word) (*revision, error) {
	last := words[len(words)-1]
	from, to, err := m.span(last.node)
	if err != nil {
		return nil, err
	}
	text := "--" + c.name + "=" + *c.value
	token := quoted(text, last.node.Style)
	s := splice{to, to, ", " + token}
	if lead, block := m.lead(from); block {
		s = m.newLine(to, lead+token)
	}
	return &revision{
		Difference: Difference{What: c.what(), Before: absent, After: *c.value},
		splices:    []splice{s},
		intend: func(doc map[string]any) {
			its := containerOf(doc, container)
			its[last.list] = append(its[last.list].([]any), text)
		},
	}, nil
}

// lead is what stands on the line before the byte at, and whether that is the
// dash of a list with an item a line.
func (m *manifest) lead(at int) (string, bool) {
	lead := string(m.text[m.lineStart(at):at])
	return lead, strings.TrimLeft(lead, " ") != "" && strings.Trim(lead, " ") == "-"
}

// newLine puts a line behind the one of the byte at, with the same line break.
func (m *manifest) newLine(at int, line string) splice {
	end := m.lineEnd(at)
	ends := string(m.text[m.lineStart(at):end])
	switch {
	case strings.HasSuffix(ends, "\r\n"):
		return splice{end, end, line + "\r\n"}
	case strings.HasSuffix(ends, "\n"):
		return splice{end, end, line + "\n"}
	}
	return splice{end, end, "\n" + line}
}

// remove takes away a flag that is there.
func (c flagChange) remove(m *manifest, container int, at *occurrence) (*revision, error) {
	gone := []word{at.flag}
	if at.value != nil {
		gone = append(gone, *at.value)
	}
	if at.value != nil && at.value.list != at.flag.list {
		return nil, errors.New("its name is in command and its value in args")
	}
	splices, err := m.without(gone)
	if err != nil {
		return nil, err
	}
	return &revision{
		Difference: Difference{What: c.what(), Before: at.set(), After: absent},
		splices:    splices,
		intend: func(doc map[string]any) {
			its := containerOf(doc, container)
			its[at.flag.list] = slices.Delete(its[at.flag.list].([]any), at.flag.i, at.flag.i+len(gone))
		},
	}, nil
}

// without takes away words that follow each other: their lines, or in a list
// on one line what is between two commas.
func (m *manifest) without(gone []word) ([]splice, error) {
	var lines []splice
	first, last := 0, 0
	for i, w := range gone {
		from, to, err := m.span(w.node)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = from
		}
		last = to
		if _, block := m.lead(from); block {
			lines = append(lines, splice{from: m.lineStart(from), to: m.lineEnd(to)})
		}
	}
	if len(lines) == len(gone) {
		return lines, nil
	}
	return []splice{m.withComma(first, last)}, nil
}

// withComma is the part of the text from one byte to another, with the comma
// behind it, or the one before it where there is none.
func (m *manifest) withComma(from, to int) splice {
	const space = " \t\r\n"
	behind := string(m.text[to:])
	if rest := strings.TrimLeft(behind, space); strings.HasPrefix(rest, ",") {
		rest = strings.TrimLeft(rest[1:], " ")
		return splice{from: from, to: len(m.text) - len(rest)}
	}
	before := strings.TrimRight(string(m.text[:from]), space)
	if cut, ok := strings.CutSuffix(before, ","); ok {
		from = len(cut)
	}
	return splice{from: from, to: to}
}
