package file

import (
	"errors"

	"runbook/engine"
	"runbook/engine/durable"
)

// relocation is the record of a rename: move's and remove's Change.Data. It
// knows the thing by its inode, so that a crash between the rename and its
// report can be told from a stranger's work.
type relocation struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Inode uint64 `json:"inode"`
}

// carry moves the thing from r.From to r.To. Where an earlier call has done
// so already, it only makes that durable.
func (r relocation) carry() error {
	from, to, err := r.look()
	switch {
	case err != nil:
		return err
	case to == r.Inode:
		return durable.SyncParents(r.From, r.To)
	case from == 0:
		return engine.Errorf(r.From, "it is neither here nor at %s", r.To).
			WithHint("Something else has moved or deleted it since the step was planned; find it before going on.")
	case from != r.Inode:
		return replaced(r.From)
	case to != 0:
		return engine.Errorf(r.To, "something has appeared here since the step was planned").
			WithHint("Move it aside, then resume the run.")
	}
	if err := durable.Rename(r.From, r.To); err != nil {
		return err
	}
	return r.confirm()
}

// confirm takes the move back where, in its last moment, somebody has put
// something else in the thing's place.
func (r relocation) confirm() error {
	to, err := inodeAt(r.To)
	if err != nil || to == r.Inode {
		return err
	}
	return errors.Join(replaced(r.From), durable.Rename(r.To, r.From))
}

// replaced says that the thing at path is another one by now.
func replaced(path string) error {
	return engine.Errorf(path, "something else is here than when the step was planned").
		WithHint("Look who has replaced it, then plan again.")
}

func (r relocation) look() (from, to uint64, err error) {
	if from, err = inodeAt(r.From); err != nil {
		return 0, 0, err
	}
	to, err = inodeAt(r.To)
	return from, to, err
}

func (r relocation) reversed() relocation {
	return relocation{From: r.To, To: r.From, Inode: r.Inode}
}

// carryRecorded carries out, or takes back, the relocation that c records.
func carryRecorded(c engine.Change, back bool) (relocation, error) {
	var r relocation
	if err := c.GetData(&r); err != nil {
		return r, err
	}
	if r.Inode == 0 {
		return r, engine.Errorf(r.From, "the step was planned before an earlier one made this").
			WithHint("Plan it again now that the earlier step is done.")
	}
	if back {
		return r, r.reversed().carry()
	}
	return r, r.carry()
}
