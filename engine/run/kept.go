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
	r, err := k.record, error(nil)
	if r.Data == nil {
		r.Data, err = r.Again()
	}
	if err == nil && k.show != nil {
		r.Data, err = k.show(r.Data)
	}
	if err != nil {
		return err
	}
	return r.Decode(v)
}

// leanFrom is from how many bytes on it is worth looking for what can be left out.
const leanFrom = 200

// lean is a record's data with null in place of those members that may be large,
// and are needed for few records: what a step was given, what it was to change and
// what came of it. Decoding a journal is mostly these. It is data itself where
// that isn't written as json.Marshal writes an object.
func lean(data json.RawMessage) json.RawMessage {
	if len(data) < leanFrom || data[0] != '{' {
		return data
	}
	out := make([]byte, 0, leanFrom)
	at := 0
	for data[at] != '}' {
		key := end(data, at+1)
		if key < 0 || key >= len(data) || data[key] != ':' {
			return data
		}
		value := end(data, key+1)
		if value < 0 || value >= len(data) || data[value] != ',' && data[value] != '}' {
			return data
		}
		out = append(out, data[at:key+1]...)
		switch name := string(data[at+1 : key]); {
		case data[key+1] == '{' && (name == `"request"` || name == `"change"` || name == `"result"`):
			out = append(out, "null"...)
		default:
			out = append(out, data[key+1:value]...)
		}
		at = value
	}
	if at != len(data)-1 {
		return data
	}
	return append(out, '}')
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
