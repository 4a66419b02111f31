// Package limits holds what a test does to bounds of memory and time, so that an
// input that was made up can't take all there is unnoticed.
package limits

import (
	"fmt"
	"runtime/metrics"
	"testing"
	"time"
)

const (
	// mostMemory is how much may be asked for, also where it is given back at
	// once. It doesn't depend on the machine, so it stands for time as well.
	mostMemory = 2 << 30
	// patience is against hanging without asking for memory, on a busy machine too.
	patience = 15 * time.Minute
)

// Hold fails where f takes more than anybody may wait for. A hang ends the
// process, with all that it was doing.
func Hold(t testing.TB, f func()) {
	t.Helper()
	hangs := time.AfterFunc(patience, func() { panic(fmt.Sprintf("%s hangs", t.Name())) })
	defer hangs.Stop()
	before := asked()
	f()
	if took := asked() - before; took > mostMemory {
		t.Errorf("it took %d MiB of memory", took>>20)
	}
}

// asked is how much memory this process has asked for so far.
func asked() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
