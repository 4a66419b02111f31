package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	bolt "go.etcd.io/bbolt"

	"runbook/actions/etcd/keyspace"
	"runbook/actions/etcd/registry"
)

// Inventory counts the objects of Kubernetes that a file holds. It grows with
// the kinds and the namespaces, not with the objects.
type Inventory struct {
	Info Info `json:"info"`
	// Objects counts them by resource and namespace.
	Objects map[string]map[string]int64 `json:"objects"`
	// Encrypted counts those that are encrypted by resource, Keys by what they
	// are encrypted with.
	Encrypted map[string]int64 `json:"encrypted"`
	Keys      map[string]int64 `json:"keys"`
	// Other counts the keys that are no object of an API.
	Other int64 `json:"other"`
}

// CountObjects checks the file at path completely and counts the objects below
// prefix, where the API server keeps them. The error is a *Damaged where the
// file is at fault.
func CountObjects(ctx context.Context, path, prefix string) (Inventory, error) {
	var rep struct {
		Inventory
		Damage string `json:"damage"`
	}
	err := runChild(ctx, []string{taskInventory, path, prefix}, func(stdout io.Reader) error {
		return json.NewDecoder(stdout).Decode(&rep)
	})
	if rep.Damage != "" {
		return Inventory{}, &Damaged{Reason: rep.Damage}
	}
	var crash *crashed
	if errors.As(err, &crash) {
		return Inventory{}, &Damaged{Reason: crash.Error()}
	}
	return rep.Inventory, err
}

func inventoryTask(path, prefix string, enc *json.Encoder) error {
	inv := Inventory{Objects: map[string]map[string]int64{}, Encrypted: map[string]int64{}, Keys: map[string]int64{}}
	var err error
	if inv.Info, err = describe(path, func(int64) {}); err == nil {
		err = view(path, func(tx *bolt.Tx) error { return inv.count(tx, prefix) })
	}
	var damaged *Damaged
	if errors.As(err, &damaged) {
		return enc.Encode(reply{Damage: damaged.Reason})
	}
	if err != nil {
		return err
	}
	return enc.Encode(inv)
}

func (inv *Inventory) count(tx *bolt.Tx, prefix string) error {
	live, err := indexKeys(tx)
	if err != nil {
		return err
	}
	return live.each(tx, func(f keyspace.Fields) error {
		o, ok := registry.Parse(prefix, f.Key, f.Value)
		if !ok {
			inv.Other++
			return nil
		}
		if inv.Objects[o.Resource] == nil {
			inv.Objects[o.Resource] = map[string]int64{}
		}
		inv.Objects[o.Resource][o.Namespace]++
		if o.Encrypted != "" {
			inv.Encrypted[o.Resource]++
			inv.Keys[o.Encrypted]++
		}
		return nil
	})
}
