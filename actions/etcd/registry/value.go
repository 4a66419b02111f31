package registry

import (
	"bytes"
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// encryptedPrefix begins what the API server has encrypted. Behind it follow
// the provider, its version and the key's name: "aescbc:v1:key1:".
var encryptedPrefix = []byte("k8s:enc:")

// encryptedWith names what value was encrypted with, or is empty.
func encryptedWith(value []byte) string {
	rest, ok := bytes.CutPrefix(value, encryptedPrefix)
	if !ok {
		return ""
	}
	// What follows the name is of any length and no text.
	parts := strings.SplitN(string(rest[:min(len(rest), 256)]), ":", 4)
	if len(parts) < 4 {
		return parts[0]
	}
	return parts[0] + "/" + parts[2]
}

// apiVersion is that of an object: "apps/v1", "v1". It is empty where value is
// neither of the two forms in which the API server keeps objects.
func apiVersion(value []byte) string {
	if message, ok := bytes.CutPrefix(value, []byte("k8s\x00")); ok {
		// Unknown has a TypeMeta in field 1, which has apiVersion in field 1.
		return string(field(field(message, 1), 1))
	}
	var meta struct {
		APIVersion string `json:"apiVersion"`
	}
	if json.Unmarshal(value, &meta) != nil {
		return ""
	}
	return meta.APIVersion
}

// field returns the first field of that number in a message of protobuf, if it
// is one of bytes, and nothing where the message can't be read so far.
func field(message []byte, want protowire.Number) []byte {
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if number == want && typ == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			return value
		}
		if n = protowire.ConsumeFieldValue(number, typ, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	return nil
}
