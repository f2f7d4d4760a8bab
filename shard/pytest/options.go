package pytest

import "strings"

// Options tells which of pytest's options a command line gives that wcshard
// would otherwise set itself.
type Options struct {
	Workers    bool // -n, --numprocesses, --tx
	Dist       bool // --dist, -d
	MaxFail    bool // -x, --exitfirst, --maxfail
	LastFailed bool // --lf
	FailedFirst,
	NewFirst bool // --ff, --nf
	Stepwise   bool // --sw, --sw-skip, --sw-reset
	CoverUnder bool // --cov-fail-under
}

// flagsWithoutValue are pytest's and xdist's short options that take no value
// and may therefore stand before another one in the same word: -qn4.
const flagsWithoutValue = "qvslxhVdf"

// UserOptions finds the options in pytest arguments.
func UserOptions(args []string) Options {
	var o Options
	for _, arg := range args {
		switch {
		case arg == "--":
			return o
		case strings.HasPrefix(arg, "--"):
			name, _, _ := strings.Cut(arg, "=")
			o.long(name)
		case strings.HasPrefix(arg, "-"):
			o.short(arg[1:])
		}
	}
	return o
}

func (o *Options) long(name string) {
	switch name {
	case "--numprocesses", "--tx":
		o.Workers = true
	case "--dist":
		o.Dist = true
	case "--exitfirst", "--maxfail":
		o.MaxFail = true
	case "--lf", "--last-failed":
		o.LastFailed = true
	case "--ff", "--failed-first":
		o.FailedFirst = true
	case "--nf", "--new-first":
		o.NewFirst = true
	case "--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--sw-reset", "--stepwise-reset":
		o.Stepwise = true
	case "--cov-fail-under":
		o.CoverUnder = true
	}
}

func (o *Options) short(letters string) {
	for _, letter := range letters {
		switch letter {
		case 'n':
			o.Workers = true
		case 'd':
			o.Dist = true
		case 'x':
			o.MaxFail = true
		}
		if !strings.ContainsRune(flagsWithoutValue, letter) {
			return // what follows is its value
		}
	}
}

// given names the options as the plugin knows them.
func (o Options) given() []string {
	names := []string{}
	for _, option := range []struct {
		given bool
		names []string
	}{
		{o.Workers, []string{"workers"}},
		{o.Dist, []string{"dist"}},
		{o.MaxFail, []string{"maxfail"}},
		{o.LastFailed, []string{"lf"}},
		{o.FailedFirst, []string{"failedfirst"}},
		{o.NewFirst, []string{"newfirst"}},
		{o.Stepwise, []string{"stepwise", "stepwise_skip", "stepwise_reset"}},
		{o.CoverUnder, []string{"cov_fail_under"}},
	} {
		if option.given {
			names = append(names, option.names...)
		}
	}
	return names
}
