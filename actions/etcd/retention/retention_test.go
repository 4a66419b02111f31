package retention

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 15, 12, 30, 0, 0, time.UTC) // a Sunday

// decide writes the verdicts of snapshots of these ages as letters, and how
// many were verified. A negative age stands for a damaged one.
func decide(t *testing.T, r Rules, ages ...time.Duration) (string, int) {
	t.Helper()
	times := make([]time.Time, len(ages))
	for i, age := range ages {
		times[i] = now.Add(-max(age, -age))
	}
	asked := 0
	verdicts, err := r.Decide(now, times, func(i int) (bool, error) { asked++; return ages[i] >= 0, nil })
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, v := range verdicts {
		b.WriteByte("kdx"[v])
	}
	return b.String(), asked
}

func TestDecide(t *testing.T) {
	const h, d = time.Hour, 24 * time.Hour
	for name, tt := range map[string]struct {
		rules Rules
		ages  []time.Duration
		want  string
		asked int
	}{
		"the last two":                  {Rules{Last: 2}, []time.Duration{h, 2 * h, 3 * h, 4 * h}, "kkdd", 2},
		"damaged ones don't count":      {Rules{Last: 2}, []time.Duration{-h, 2 * h, -3 * h, 4 * h, 5 * h}, "xkxkd", 4},
		"by age":                        {Rules{Within: 2 * d}, []time.Duration{h, d, 2 * d, 3 * d}, "kkkd", 1},
		"a week of failed backups":      {Rules{Within: 2 * d}, []time.Duration{-h, -d, -3 * d, 8 * d, 9 * d}, "xxxkd", 4},
		"nothing recent":                {Rules{Within: d}, []time.Duration{8 * d, 9 * d}, "kd", 1},
		"nothing that verifies":         {Rules{Last: 1}, []time.Duration{-h, -2 * h, -3 * h}, "xxx", 3},
		"nothing at all":                {Rules{Last: 1}, nil, "", 0},
		"hours":                         {Rules{Hourly: 2}, []time.Duration{10 * time.Minute, 20 * time.Minute, h, 2 * h}, "kdkd", 2},
		"days, the newest that's good":  {Rules{Daily: 2}, []time.Duration{h, d, -25 * h, 26 * h}, "kkdd", 2},
		"days, the newest is damaged":   {Rules{Daily: 2}, []time.Duration{h, -d, 25 * h, 26 * h}, "kxkd", 3},
		"weeks":                         {Rules{Weekly: 3}, []time.Duration{h, 6 * d, 7 * d, 8 * d, 14 * d, 21 * d}, "kdkdkd", 3},
		"any rule is enough":            {Rules{Last: 1, Daily: 3, Within: 2 * h}, []time.Duration{h, 2 * h, 3 * h, d, 2 * d, 3 * d}, "kkdkkd", 3},
		"a clock that was ahead":        {Rules{Within: h}, []time.Duration{0, 3 * h}, "kd", 1},
		"generations reach beyond ages": {Rules{Within: h, Daily: 2}, []time.Duration{-h, 30 * d, 40 * d, 50 * d}, "xkkd", 3},
	} {
		if got, asked := decide(t, tt.rules, tt.ages...); got != tt.want || asked != tt.asked {
			t.Errorf("%s: %s with %d verified, want %s with %d", name, got, asked, tt.want, tt.asked)
		}
	}
}

func TestDecideFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := (Rules{Last: 1}).Decide(now, []time.Time{now}, func(int) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
