package fault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
)

var networkSpec = engine.Spec{
	Name: "fault_network",
	Doc: "Drops the packets of TCP ports, in and out, loopback included, as a broken switch does: nobody is told. " +
		"It does so with an nftables table of its own; undo deletes that, and so does a reboot." + onlyInDrills,
	Destroys: true,
	Attributes: []engine.Attribute{
		{Name: "ports", Type: cty.List(cty.Number), Required: true, Check: checkPorts, Doc: "The TCP ports that are cut off, such as 2380 for etcd's peers."},
	},
	Results: []engine.Attribute{{Name: "table", Type: cty.String, Doc: "The nftables table, of the family inet."}},
	Example: `step "fault_network" "cut_off" {
  ports = [2379, 2380]
}`,
	New: func() engine.Action { return new(network) },
}

type network struct {
	Ports []int64 `cty:"ports"`
}

var _ engine.Action = (*network)(nil)

func checkPorts(v cty.Value) error {
	if v.LengthInt() == 0 {
		return errors.New("name at least one port")
	}
	for it := v.ElementIterator(); it.Next(); {
		_, port := it.Element()
		if err := checkWhole(port, 1, 65535); err != nil {
			return fmt.Errorf("a port: %w", err)
		}
	}
	return nil
}

// Plan implements engine.Action.
func (a *network) Plan(_ context.Context, w engine.World) (engine.Change, error) {
	table := "fault-" + w.Run().ID + "-" + digest(w.Run().Step)
	c := engine.Change{Results: engine.Result{"table": table}}
	there, err := hasTable(table)
	if err != nil || there {
		return c, err
	}
	for _, port := range a.Ports {
		c.Items = append(c.Items, engine.Item{Target: fmt.Sprintf("TCP port %d", port), Before: "open to the network", After: "cut off"})
	}
	return c, c.SetData(table)
}

func hasTable(name string) (bool, error) {
	conn, err := nftables.New()
	if err != nil {
		return false, notSupported(err)
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, notSupported(err)
	}
	for _, t := range tables {
		if t.Name == name {
			return true, nil
		}
	}
	return false, nil
}

func notSupported(err error) error {
	return engine.Errorf("nftables", "%w", err).WithHint("It takes root and a kernel with nftables; `nft list tables` says more.")
}

// Apply implements engine.Action. The kernel takes the whole table or nothing
// of it.
func (a *network) Apply(_ context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var name string
	if err := c.GetData(&name); err != nil {
		return nil, err
	}
	if there, err := hasTable(name); err != nil || there {
		return c.Results, err
	}
	conn, err := nftables.New()
	if err != nil {
		return nil, notSupported(err)
	}
	table := conn.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyINet})
	a.cutOff(conn, table, "in", nftables.ChainHookInput)
	a.cutOff(conn, table, "out", nftables.ChainHookOutput)
	if err := conn.Flush(); err != nil {
		return nil, notSupported(err)
	}
	return c.Results, nil
}

// cutOff drops what goes to the ports or comes from them, at one hook.
func (a *network) cutOff(conn *nftables.Conn, table *nftables.Table, name string, hook *nftables.ChainHook) {
	chain := conn.AddChain(&nftables.Chain{
		Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
	})
	for _, port := range a.Ports {
		const source, destination = 0, 2 // where a TCP header has its ports
		for _, offset := range []uint32{source, destination} {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: drop(offset, uint16(port))})
		}
	}
}

// drop is `meta l4proto tcp, port at offset, drop`.
func drop(offset uint32, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// Undo implements engine.Action.
func (a *network) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var name string
	if err := c.GetData(&name); err != nil {
		return err
	}
	if there, err := hasTable(name); err != nil || !there {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return notSupported(err)
	}
	conn.DelTable(&nftables.Table{Name: name, Family: nftables.TableFamilyINet})
	if err := conn.Flush(); err != nil {
		return notSupported(err)
	}
	return nil
}
