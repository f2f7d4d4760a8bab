package shard

import (
	"slices"
	"strings"
	"testing"
)

func TestMemoryNames(t *testing.T) {
	long := strings.Repeat("long_", 20)
	for _, c := range []struct {
		name  string
		files []string
		want  []string // in order of the files
	}{
		{"stems", []string{"tests/test_a.py", "tests/test_b.py"}, []string{"mem-test_a", "mem-test_b"}},
		{"equal stems take folders", []string{"x/u/test_a.py", "y/u/test_a.py", "test_b.py"}, []string{"mem-x-u-test_a", "mem-y-u-test_a", "mem-test_b"}},
		{"case alone is no difference", []string{"a/Test.py", "b/test.py"}, []string{"mem-a-Test", "mem-b-test"}},
		{"strange characters", []string{"täst é.py"}, []string{"mem-t_st__"}},
		{"no way to tell but a hash", []string{"t?.py", "t*.py"}, []string{"mem-t_-169fdac2", "mem-t_-1ebb2515"}},
		{"nor where case alone differs", []string{"t?.py", "T*.py"}, []string{"mem-t_-169fdac2", "mem-T_-732608e4"}},
		{"a folder's name in the stem", []string{"a/b.py", "c/b.py", "a-b.py"}, []string{"mem-a-b-d9584a80", "mem-c-b", "mem-a-b-cd94630e"}},
		{"just not too long", []string{long[:maxName-len("mem-")] + ".py"}, []string{"mem-" + long[:maxName-len("mem-")]}},
		{"too long", []string{long + "1.py", long + "2.py"}, []string{"mem-long_long_long_long_long_long_long_long_long_lo-8516742a", "mem-long_long_long_long_long_long_long_long_long_lo-c0da8473"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Suite
			for k, f := range c.files {
				x := test(f+"::x", len(c.files)-k)
				x.Memory = true
				s.Tests = append(s.Tests, x)
			}
			var got []string
			p := mustPack(t, s, Fleet{Shards: 1})
			for i := range p.Shards {
				got = append(got, p.Shards[i].Name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("names are %q, want %q", got, c.want)
			}
		})
	}
}
