package diagnose

import (
	"regexp"
	"strconv"
)

// minor is a version of etcd without the patch: 3.6 is {3, 6}. The zero value
// means that it isn't known.
type minor struct{ major, minor int }

var versionText = regexp.MustCompile(`^v?(\d+)\.(\d+)`)

func minorOf(version string) minor {
	m := versionText.FindStringSubmatch(version)
	if m == nil {
		return minor{}
	}
	major, _ := strconv.Atoi(m[1]) // digits, and 0 for too many of them
	small, _ := strconv.Atoi(m[2])
	return minor{major, small}
}

func (v minor) known() bool { return v != minor{} }

// before reports whether v is older than o.
func (v minor) before(o minor) bool {
	return v.major < o.major || v.major == o.major && v.minor < o.minor
}

var v36, v37 = minor{3, 6}, minor{3, 7}

// version is the version that is to run on the directory, as far as it is
// known: it was told, or else the database tells.
func (r *Report) version() string {
	for _, v := range []string{r.Options.Version, r.DB.StorageVersion, r.DB.ClusterVersion} {
		if minorOf(v).known() {
			return v
		}
	}
	return ""
}
