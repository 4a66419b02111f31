package diagnose

import (
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"runbook/actions/etcd/unseen"
)

// SnapFile is one of the small snapshots in which raft keeps its own state.
type SnapFile struct {
	Name  string `json:"name"`
	Index uint64 `json:"index"`
	Fault string `json:"fault"` // what is wrong with it
}

// Snaps is what lies in the directory "snap" beside the database.
type Snaps struct {
	Files []SnapFile `json:"files"`
	// Databases are the indexes of databases that a leader sent.
	Databases []uint64 `json:"databases"`
	Broken    []string `json:"broken"`
}

// maxSnap bounds what is read of one such file.
const maxSnap = 512 << 20

// readSnaps reads the snapshots in a directory.
func readSnaps(dir string) (Snaps, error) {
	s := Snaps{Files: []SnapFile{}, Databases: []uint64{}, Broken: []string{}}
	entries, err := unseen.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasSuffix(name, ".snap.db"):
			if i, err := strconv.ParseUint(strings.TrimSuffix(name, ".snap.db"), 16, 64); err == nil {
				s.Databases = append(s.Databases, i)
			}
		case strings.HasSuffix(name, ".snap"):
			s.Files = append(s.Files, readSnap(dir, name))
		case strings.HasSuffix(name, ".broken"):
			s.Broken = append(s.Broken, name)
		}
	}
	return s, nil
}

func readSnap(dir, name string) SnapFile {
	f := SnapFile{Name: name}
	_, index, _ := strings.Cut(strings.TrimSuffix(name, ".snap"), "-")
	var err error
	if f.Index, err = strconv.ParseUint(index, 16, 64); err != nil {
		f.Fault = "its name is none of a snapshot"
		return f
	}
	data, err := unseen.ReadFile(filepath.Join(dir, name), maxSnap)
	if err != nil {
		f.Fault = "it can't be read: " + err.Error()
		return f
	}
	f.Fault = snapFault(data)
	return f
}

// snapFault checks a snapshot's sum, which is beside the data in one message.
func snapFault(data []byte) string {
	if len(data) == 0 {
		return "it is empty"
	}
	var sum uint64
	var body []byte
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return "it can't be decoded"
		}
		data = data[n:]
		var m int
		switch {
		case num == 1 && typ == protowire.VarintType:
			sum, m = protowire.ConsumeVarint(data)
		case num == 2 && typ == protowire.BytesType:
			body, m = protowire.ConsumeBytes(data)
		default:
			m = protowire.ConsumeFieldValue(num, typ, data)
		}
		if m < 0 {
			return "it can't be decoded"
		}
		data = data[m:]
	}
	switch {
	case sum == 0 || len(body) == 0:
		return "it holds no snapshot"
	case uint64(crc32.Checksum(body, castagnoli)) != sum:
		return "it doesn't match its checksum"
	}
	return ""
}
