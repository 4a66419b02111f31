package diagnose

import (
	"encoding/json"
	"strings"
)

// Words is what a line of etcd's log says to people: its message and its error,
// without what else stands in its JSON. A line that isn't JSON stays as it is.
func Words(line string) string {
	begin := strings.IndexByte(line, '{')
	if begin < 0 {
		return line
	}
	var said struct{ Msg, Error string }
	// One that was cut off is no JSON; what follows it, such as a stack, doesn't matter.
	if json.NewDecoder(strings.NewReader(line[begin:])).Decode(&said) != nil || said.Msg == "" {
		return line
	}
	if said.Error == "" {
		return said.Msg
	}
	return said.Msg + ": " + said.Error
}
