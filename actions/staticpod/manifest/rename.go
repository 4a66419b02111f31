package manifest

import (
	"fmt"
	"strings"
)

// renameChange gives a command-line flag of a container another name, and leaves
// its value as it is written.
type renameChange struct{ container, from, to string }

func (c renameChange) find(m *manifest) (*revision, error) {
	i, err := m.container(c.container)
	if err != nil {
		return nil, err
	}
	words, err := m.words(i)
	if err != nil {
		return nil, err
	}
	at, err := occurrenceOf(words, c.from)
	if err != nil {
		return nil, err
	}
	already, err := occurrenceOf(words, c.to)
	switch {
	case err != nil:
		return nil, err
	case at == nil && already == nil:
		return nil, fmt.Errorf("neither flag --%s nor --%s is set, so there is nothing to rename", c.from, c.to)
	case at == nil:
		return nil, nil
	case already != nil:
		return nil, fmt.Errorf("flag --%s can't be renamed: --%s is set as well", c.from, c.to)
	}
	from, to, err := m.span(at.flag.node)
	if err != nil {
		return nil, fmt.Errorf("flag --%s: %w", c.from, err)
	}
	dashes, value, _ := strings.Cut(at.flag.text(), c.from)
	return &revision{
		Difference: Difference{What: "name of flag --" + c.from, Before: dashes + c.from, After: dashes + c.to},
		// A flag's name needs no quotes, so whichever there are stay.
		splices: []splice{{from, to, strings.Replace(string(m.text[from:to]), c.from, c.to, 1)}},
		intend: func(doc map[string]any) {
			containerOf(doc, i)[at.flag.list].([]any)[at.flag.i] = dashes + c.to + value
		},
	}, nil
}
