package diagnose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// object is what is known of a Kubernetes object.
type object struct {
	kind     string // "v1 ConfigMap", or the key's resource where it is encrypted
	provider string // what it is encrypted with, such as "aescbc:v1:key1"
}

// How the API server begins its values.
var (
	protobufMagic = []byte("k8s\x00")
	encryptedMark = []byte("k8s:enc:")
)

// registry is where the API server keeps its objects, unless told otherwise.
const registry = "/registry/"

// decodeObject decodes what must be decodable. What isn't a Kubernetes object
// may be anything.
func decodeObject(key, value []byte) (object, error) {
	switch {
	case bytes.HasPrefix(value, protobufMagic):
		return decodeProtobuf(key, value[len(protobufMagic):])
	case bytes.HasPrefix(value, encryptedMark):
		return object{kind: resource(key), provider: provider(value)}, nil
	case bytes.HasPrefix(key, []byte(registry)) && bytes.HasPrefix(value, []byte("{")):
		return decodeJSON(value)
	case isObjectKey(key):
		return object{}, errors.New("it is no Kubernetes object, and its key is one's")
	}
	return object{}, nil
}

// isObjectKey reports whether a key is an object's for certain: custom
// resources are kept as JSON, these as what begins with the magic.
func isObjectKey(key []byte) bool {
	for _, r := range []string{"configmaps/", "secrets/", "pods/", "namespaces/", "deployments/", "serviceaccounts/"} {
		if bytes.HasPrefix(key, []byte(registry+r)) {
			return true
		}
	}
	return false
}

// decodeProtobuf decodes runtime.Unknown: 1 is the type (1 its version, 2 its
// kind), 2 the object, whose first field is its metadata.
func decodeProtobuf(key, b []byte) (object, error) {
	fields, err := messages(b)
	if err != nil {
		return object{}, err
	}
	typ, err := messages(fields[1])
	if err != nil {
		return object{}, err
	}
	kind := strings.TrimSpace(printable(typ[1]) + " " + printable(typ[2]))
	if len(typ[2]) == 0 {
		return object{}, errors.New("it names no kind")
	}
	body, err := messages(fields[2])
	if err != nil {
		return object{}, err
	}
	return object{kind: kind}, sameName(key, body[1])
}

// sameName compares the name in an object's metadata with the end of its key.
func sameName(key, metadata []byte) error {
	meta, err := messages(metadata)
	if err != nil {
		return err
	}
	name := string(meta[1])
	// Some objects have no name, and some keys aren't made of it.
	if name == "" || !bytes.HasPrefix(key, []byte(registry)) || !isObjectKey(key) {
		return nil
	}
	if !strings.HasSuffix(string(key), "/"+name) {
		return fmt.Errorf("the object in it is called %q", printable(meta[1]))
	}
	return nil
}

// messages returns the length-delimited fields of a message, the last of each
// number, and fails where the bytes are no message.
func messages(b []byte) (map[protowire.Number][]byte, error) {
	out := map[protowire.Number][]byte{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, errors.New("the object in it can't be decoded")
		}
		b = b[n:]
		if typ == protowire.BytesType {
			v, m := protowire.ConsumeBytes(b)
			if m < 0 {
				return nil, errors.New("the object in it is cut off")
			}
			out[num], b = v, b[m:]
			continue
		}
		m := protowire.ConsumeFieldValue(num, typ, b)
		if m < 0 {
			return nil, errors.New("the object in it can't be decoded")
		}
		b = b[m:]
	}
	return out, nil
}

func decodeJSON(value []byte) (object, error) {
	var o struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(value, &o); err != nil {
		return object{}, errors.New("the JSON in it can't be decoded")
	}
	return object{kind: strings.TrimSpace(o.APIVersion + " " + o.Kind)}, nil
}

// resource is the resource that a key is of.
func resource(key []byte) string {
	rest, ok := strings.CutPrefix(printable(key), registry)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// provider is what a value is encrypted with: "k8s:enc:PROVIDER:v1:NAME:…".
func provider(value []byte) string {
	parts := strings.SplitN(printable(value[:min(len(value), 200)]), ":", 6)
	return strings.Join(parts[2:min(len(parts), 5)], ":")
}
