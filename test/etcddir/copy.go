package etcddir

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
)

// Copy copies a directory, and leaves most of the zeros out with which a log's
// file is filled up to 64 MB: etcd doesn't need them, and tests read them over
// and over.
func Copy(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, trim(from, data), 0o600)
}

// room is how many zeros a log's file keeps behind what is in it.
const room = 64 << 10

func trim(path string, data []byte) []byte {
	if filepath.Ext(path) != ".wal" {
		return data
	}
	used := len(bytes.TrimRight(data, "\x00"))
	return data[:min(len(data), used+room)]
}

// Object is the key and the value with number i: config maps and pods as the
// API server keeps them, some secrets that are encrypted, and some keys that
// are nobody's.
func Object(i int) (key string, value []byte) {
	name := fmt.Sprintf("object-%04d", i)
	switch i % 5 {
	case 0:
		return "/other/" + name, fmt.Appendf(nil, "value %d", i)
	case 1:
		return "/registry/pods/default/" + name, encode("v1", "Pod", name)
	case 2:
		return "/registry/secrets/default/" + name, append([]byte("k8s:enc:aescbc:v1:key1:"), bytes.Repeat([]byte{byte(i), 7}, 300)...)
	}
	return "/registry/configmaps/default/" + name, encode("v1", "ConfigMap", name)
}

// encode encodes an object as the API server does.
func encode(version, kind, name string) []byte {
	meta := field(nil, 1, []byte(name))
	meta = field(meta, 3, []byte("default"))
	body := field(nil, 1, meta)
	body = field(body, 2, bytes.Repeat([]byte("data"), 200))
	typ := field(field(nil, 1, []byte(version)), 2, []byte(kind))
	return append([]byte("k8s\x00"), field(field(nil, 1, typ), 2, body)...)
}

func field(b []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), value)
}
