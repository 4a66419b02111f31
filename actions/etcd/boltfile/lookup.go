package boltfile

import (
	"bytes"
	"errors"
)

// root is the page at which a bucket begins.
func (t *Tree) root(head Element) (Page, error) {
	if len(head.Value) < 16 {
		return Page{}, errors.New("it is no bucket")
	}
	if id := le.Uint64(head.Value); id != 0 {
		return t.Read(id)
	}
	inline := head.Value[16:]
	if len(inline) < pageHeader || le.Uint16(inline[8:]) != leafFlag {
		return Page{}, errors.New("the bucket inside of the root is no leaf")
	}
	return Page{ID: t.meta.root, flags: leafFlag, Count: int(le.Uint16(inline[10:])), data: inline}, nil
}

// descend goes from a bucket's root to a leaf, by the child that choose names.
func (t *Tree) descend(head Element, choose func(Page) int) (Page, error) {
	p, err := t.root(head)
	for range maxDepth {
		if err != nil || p.Leaf() {
			return p, err
		}
		if !p.Branch() || p.Count == 0 {
			return p, errors.New("it is neither a leaf nor a branch")
		}
		e, failed := p.Element(choose(p))
		if failed != nil {
			return p, failed
		}
		p, err = t.Read(e.Child)
	}
	return p, errors.New("the tree is too deep")
}

// Find looks one key of a bucket up, on the few pages that lead to it. Its
// error says that one of them is damaged.
func (t *Tree) Find(head Element, key []byte) (Element, bool, error) {
	leaf, err := t.descend(head, func(p Page) int { return max(p.upTo(key), 0) })
	if err != nil {
		return Element{}, false, err
	}
	i := leaf.upTo(key)
	if i < 0 {
		return Element{}, false, nil
	}
	e, err := leaf.Element(i)
	return e, err == nil && bytes.Equal(e.Key, key), err
}

// upTo is the last of a page's elements whose key isn't behind key; -1 if
// there is none.
func (p Page) upTo(key []byte) int {
	low, high := 0, p.Count
	for low < high {
		middle := (low + high) / 2
		e, err := p.Element(middle)
		if err == nil && bytes.Compare(e.Key, key) <= 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1
}

// Ends returns up to n of a bucket's elements for each of so many leaves: its
// last one, and others that are spread evenly over it. What can't be read is
// left out.
func (t *Tree) Ends(head Element, leaves, n int) []Element {
	var found []Element
	seen := map[uint64]bool{}
	for i := leaves; i > 0; i-- {
		at := float64(i) / float64(leaves)
		leaf, err := t.descend(head, func(p Page) int {
			place := at * float64(p.Count)
			child := min(int(place), p.Count-1)
			at = min(place-float64(child), 1)
			return child
		})
		if err != nil || seen[leaf.ID] {
			continue
		}
		seen[leaf.ID] = true
		for j := max(leaf.Count-n, 0); j < leaf.Count; j++ {
			if e, err := leaf.Element(j); err == nil && len(e.Key) > 0 {
				found = append(found, e)
			}
		}
	}
	return found
}
