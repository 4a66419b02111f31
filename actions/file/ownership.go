package file

import (
	"encoding/json"
	"sort"
	"strings"
	"unicode/utf8"
)

// ownership is chown's record: its target, and whom everything belonged to.
type ownership struct {
	Path      string    `json:"path"`
	Recursive bool      `json:"recursive,omitempty"`
	To        ids       `json:"to"`
	Runs      []run     `json:"runs"`
	Special   []special `json:"special,omitempty"`
}

type ids struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// run says that from a path on, in walk order, everything belonged to one
// owner until the next run begins. A million files of one owner are one run.
type run struct {
	From name `json:"from"`
	ids
}

// special is a file with what the kernel clears when its owner changes.
type special struct {
	Path       name   `json:"path"`
	Mode       uint32 `json:"mode"`
	Capability []byte `json:"capability,omitempty"`
}

// ownerAt is whom the path rel below the root belonged to.
func (o ownership) ownerAt(rel string) ids {
	after := sort.Search(len(o.Runs), func(i int) bool {
		return walkOrder(rel, string(o.Runs[i].From))
	})
	return o.Runs[max(after-1, 0)].ids
}

func (o ownership) specials() map[string]special {
	m := make(map[string]special, len(o.Special))
	for _, s := range o.Special {
		m[string(s.Path)] = s
	}
	return m
}

// walkOrder reports whether a walk comes to path a before path b: a directory
// comes before its content, and its content before its next sibling. That is
// byte order with the slash before all else.
func walkOrder(a, b string) bool {
	for i := 0; i < min(len(a), len(b)); i++ {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' || b[i] == '/' {
			return a[i] == '/'
		}
		return a[i] < b[i]
	}
	return len(a) < len(b)
}

// name is a path that survives JSON: Linux takes any bytes for a name, JSON
// only UTF-8. Other names are recorded as base64.
type name string

// MarshalJSON implements json.Marshaler.
func (n name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(map[string][]byte{"bytes": []byte(n)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *name) UnmarshalJSON(data []byte) error {
	if !strings.HasPrefix(string(data), "{") {
		return json.Unmarshal(data, (*string)(n))
	}
	var raw struct{ Bytes []byte }
	err := json.Unmarshal(data, &raw)
	*n = name(raw.Bytes)
	return err
}
