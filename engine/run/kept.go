package run

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"runbook/engine/journal"
)

// kept is a record that is decoded when it is asked for, and read again where it
// is large: a long run has many, and takes up one at most.
type kept struct {
	record journal.Record // without data that is large
	show   func(json.RawMessage) (json.RawMessage, error)
}

func (s *State) keep(r journal.Record) *kept {
	if s.brief && r.Kind == kindDone {
		r.Data = cut(r.Data)
	} else if r.Large() {
		r.Data = nil
	} else {
		r.Data = bytes.Clone(r.Data) // the journal reads the next one into it
	}
	return &kept{record: r, show: s.show}
}

func (k *kept) decode(v any) error {
	r, err := k.whole()
	if err != nil {
		return err
	}
	return r.Decode(v)
}

// part decodes one member of the record's data, if it has it.
func (k *kept) part(name string, v any) error {
	r, err := k.whole()
	if err != nil {
		return err
	}
	var data json.RawMessage
	if !members(r.Data, func(key, value json.RawMessage) {
		if string(key) == `"`+name+`"` {
			data = value
		}
	}) {
		var all map[string]json.RawMessage
		if err := r.Decode(&all); err != nil {
			return err
		}
		data = all[name]
	}
	if data == nil {
		return nil
	}
	r.Data = data
	return r.Decode(v)
}

// whole is the record with all its data.
func (k *kept) whole() (r journal.Record, err error) {
	if r = k.record; r.Data == nil {
		r.Data, err = r.Again()
	}
	if err == nil && k.show != nil {
		r.Data, err = k.show(r.Data)
	}
	return r, err
}

// leanFrom is from how many bytes on it is worth looking for what can be left out.
const leanFrom = 200

// lean is a record's data with null in place of those members that may be large,
// and are needed for few records: what a step was given, what it was to change and
// what came of it. Decoding a journal is mostly these. It is data itself where
// that isn't written as json.Marshal writes an object.
func lean(data json.RawMessage) json.RawMessage {
	if len(data) < leanFrom {
		return data
	}
	out := make([]byte, 0, leanFrom)
	if !members(data, func(key, value json.RawMessage) {
		if name := string(key); value[0] == '{' && (name == `"request"` || name == `"change"` || name == `"result"`) {
			value = json.RawMessage("null")
		}
		between := byte(',')
		if len(out) == 0 {
			between = '{'
		}
		out = append(append(append(append(out, between), key...), ':'), value...)
	}) {
		return data
	}
	return append(out, '}')
}

// members has visit see the members of an object, which isn't looked into any
// further. It is false where data is none as json.Marshal writes one; some may
// have been seen by then.
func members(data json.RawMessage, visit func(key, value json.RawMessage)) bool {
	at := 0
	for at < len(data) && (data[at] == ',' || at == 0 && data[at] == '{') {
		key := end(data, at+1)
		if key < 0 || key+1 >= len(data) || data[key] != ':' {
			return false
		}
		value := end(data, key+1)
		if value <= key+1 {
			return false
		}
		visit(data[at+1:key], data[key+1:value])
		at = value
	}
	return at > 0 && at == len(data)-1 && data[at] == '}'
}

// end is where the JSON value ends that begins at an offset; -1 where it doesn't.
// What is in an object or a list is not looked into.
func end(data []byte, at int) int {
	for depth := 0; at < len(data); {
		switch data[at] {
		case '"':
			if at = endOfText(data, at); at < 0 {
				return -1
			}
		case '{', '[':
			depth++
			at++
		case '}', ']':
			if depth--; depth >= 0 {
				at++
			}
		case ',', ':':
			at++
		default: // a number or a word
			at += max(1, bytes.IndexAny(data[at:], ",]}"))
		}
		if depth <= 0 {
			return at
		}
	}
	return -1
}

// endOfText is where the text ends that begins at an offset.
func endOfText(data []byte, at int) int {
	for at++; ; {
		n := bytes.IndexByte(data[at:], '"')
		if n < 0 {
			return -1
		}
		at += n + 1
		escapes := 0
		for i := at - 2; data[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
	}
}

// mostOfText is how many bytes of a text are enough to be shown on a line.
const mostOfText = 1 << 10

// cut is a record's data with its long texts cut.
func cut(data json.RawMessage) json.RawMessage {
	var out []byte
	for at := 0; at < len(data); {
		begin := bytes.IndexByte(data[at:], '"')
		if begin < 0 {
			return append(out, data[at:]...)
		}
		begin += at
		end := endOfText(data, begin)
		if end < 0 {
			return data // it is no JSON, which its decoding tells
		}
		if end-begin-len(`""`) <= mostOfText {
			out = append(out, data[at:end]...)
		} else {
			out = append(append(out, data[at:whole(data, begin+1, mostOfText)]...), "…\""...)
		}
		at = end
	}
	return out
}

// whole is where a text of JSON can be cut some bytes behind an offset: neither in
// a character nor in what stands for one.
func whole(data []byte, from, most int) int {
	at := from
	for at < from+most {
		switch {
		case data[at] == '\\' && data[at+1] == 'u':
			at += len(`\u0000`)
		case data[at] == '\\':
			at += 2
		default:
			_, size := utf8.DecodeRune(data[at:])
			at += size
		}
	}
	return at
}
