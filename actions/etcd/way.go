package etcd

import (
	"context"
	"errors"

	"runbook/engine"
	"runbook/engine/durable"
)

// refuseLinked refuses a path on which somebody else's symbolic link will be,
// who could make it lead elsewhere at any moment.
func refuseLinked(ctx context.Context, w engine.World, path, attribute string) error {
	link := (*engine.Error)(nil)
	if !errors.As(durable.CheckWay(path), &link) {
		return nil
	}
	fact, err := w.Stat(ctx, link.Where)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		return nil // it is looked at when the step runs
	}
	if err != nil || fact.Type != engine.TypeSymlink || durable.Trusted(fact.UID) {
		return err
	}
	return link.WithAttribute(attribute)
}
