//go:build !amd64 && !arm64

package sandbox

// arch is 0 where there is no filter.
const arch = 0

var refusedHere []uint32
