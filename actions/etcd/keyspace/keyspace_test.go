package keyspace

import (
	"bytes"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

func encode(t testing.TB, kv *mvccpb.KeyValue) []byte {
	t.Helper()
	data, err := proto.Marshal(kv)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzParse holds Parse to what proto.Unmarshal makes of the same bytes.
func FuzzParse(f *testing.F) {
	f.Add(encode(f, &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v"), CreateRevision: 1, ModRevision: 2, Version: 3, Lease: -4}))
	f.Add(encode(f, &mvccpb.KeyValue{Key: []byte("gone")}))
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x05, 'a'})
	f.Add([]byte{0x12, 0x01, 'x', 0x7a, 0x00, 0x0a, 0x01, 'k'})
	f.Fuzz(func(t *testing.T, data []byte) {
		var want mvccpb.KeyValue
		wantErr := proto.Unmarshal(data, &want)
		got, err := Parse(data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%x: %v, proto says %v", data, err, wantErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) || got.Record().Sum != RecordOf(&want).Sum {
			t.Fatalf("%x: %+v, proto says %v", data, got, &want)
		}
	})
}

func TestDigestTellsSetsApart(t *testing.T) {
	records := []Record{}
	for _, key := range []string{"a", "b", "c"} {
		records = append(records, Fields{Key: []byte(key), ModRevision: 1}.Record())
	}
	of := func(numbers ...int) string {
		var d, rest Digest
		for i, n := range numbers {
			if i%2 == 0 {
				d.Add(records[n])
			} else {
				rest.Add(records[n])
			}
		}
		d.Merge(rest)
		return d.String()
	}
	if of(0, 1, 2) != of(2, 0, 1) {
		t.Error("the order counts")
	}
	seen := map[string]bool{}
	for _, set := range []string{of(), of(0), of(1), of(0, 1), of(0, 0), of(0, 1, 2)} {
		if seen[set] {
			t.Errorf("two sets have the digest %s", set)
		}
		seen[set] = true
	}
}
