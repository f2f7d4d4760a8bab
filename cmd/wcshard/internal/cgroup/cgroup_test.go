package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const gib = 1 << 30

// tree writes a machine's files: a name and a text for each.
func tree(t *testing.T, files map[string]string) Host {
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return Host{root}
}

const (
	meminfo = "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:   12582912 kB\n"
	mountV1 = "36 32 0:33 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n"
	// A container sees its own part of the hierarchy, and the path of all of it.
	container = "36 32 0:33 /docker/ab\\040c /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
	mountV2   = "25 1 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
)

func TestMemory(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  Memory
	}{
		{"no cgroups", map[string]string{"proc/meminfo": meminfo}, Memory{12 * gib, 16 * gib, "this machine"}},
		{
			"v1, a limit above ours",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/mountinfo": mountV1,
				"proc/self/cgroup":                               "9:name=systemd:/\n4:memory:/a/b\n0::/\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
				"sys/fs/cgroup/memory/a/memory.limit_in_bytes":   "4294967296\n",
				"sys/fs/cgroup/memory/a/memory.usage_in_bytes":   "2147483648\n",
				"sys/fs/cgroup/memory/a/memory.stat":             "inactive_file 1\ntotal_inactive_file 1073741824\n",
				"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "8589934592\n",
			},
			Memory{3 * gib, 4 * gib, "cgroup /a"},
		},
		{
			"v1 in a container",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/mountinfo": container, "proc/self/cgroup": "4:cpu,memory:/docker/ab c/job\n",
				"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "1073741824\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
			},
			Memory{1 * gib, 1 * gib, "cgroup /job"},
		},
		{
			"v2, max and high",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/mountinfo": mountV2,
				"proc/self/cgroup":                            "0::/user.slice/job\n",
				"sys/fs/cgroup/user.slice/memory.max":         "max\n",
				"sys/fs/cgroup/user.slice/memory.high":        "max\n",
				"sys/fs/cgroup/user.slice/job/memory.max":     "6442450944\n",
				"sys/fs/cgroup/user.slice/job/memory.high":    "5368709120\n",
				"sys/fs/cgroup/user.slice/job/memory.stat":    "anon 5\ninactive_file 536870912\n",
				"sys/fs/cgroup/user.slice/job/memory.current": "1610612736\n",
			},
			Memory{4 * gib, 5 * gib, "cgroup /user.slice/job"},
		},
		{
			"v2 in a namespace",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/\n",
				"sys/fs/cgroup/memory.max": "2147483648\n", "sys/fs/cgroup/memory.current": "1073741824\n",
			},
			Memory{1 * gib, 2 * gib, "cgroup /"},
		},
		{
			"v2, more in use than the limit",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/\n",
				"sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/memory.current": "2147483648\n",
			},
			Memory{0, 1 * gib, "cgroup /"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := tree(t, test.files).Memory()
			if err != nil || got != test.want {
				t.Errorf("Memory() = %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestKills(t *testing.T) {
	v1 := tree(t, map[string]string{
		"proc/self/mountinfo": container, "proc/self/cgroup": "4:cpu,memory:/docker/ab c/job\n",
		"sys/fs/cgroup/memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
		"proc/vmstat": "nr_free_pages 1\noom_kill 7\n",
	})
	if own, machine := v1.Kills()(); own != 3 || machine != 7 {
		t.Errorf("v1: Kills() = %d, %d, want 3, 7", own, machine)
	}
	v2 := tree(t, map[string]string{
		"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/job\n",
		"sys/fs/cgroup/job/memory.events": "low 0\nhigh 0\nmax 14\noom 2\noom_kill 1\noom_group_kill 0\n",
	})
	if own, machine := v2.Kills()(); own != 1 || machine != Unknown {
		t.Errorf("v2: Kills() = %d, %d, want 1, Unknown", own, machine)
	}
	if own, machine := tree(t, nil).Kills()(); own != Unknown || machine != Unknown {
		t.Errorf("Kills() = %d, %d of a machine that does not tell", own, machine)
	}
}

// TestNoGroup: where no cgroup can be made, the error says what was tried.
func TestNoGroup(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems do not try")
	}
	t.Setenv("PATH", t.TempDir())
	h := tree(t, map[string]string{
		"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/job\n",
		"sys/fs/cgroup/cgroup.subtree_control": "cpu memory\n",
		"sys/fs/cgroup/job/memory.max":         "max\n",
	})
	group, err := h.New(gib)
	if err == nil {
		t.Fatalf("New() = %+v of files that are no cgroups", group)
	}
	if text := err.Error(); !strings.Contains(text, "starting a command in") || !strings.Contains(text, "there is no systemd-run") {
		t.Errorf("New() says %q", text)
	}
}
