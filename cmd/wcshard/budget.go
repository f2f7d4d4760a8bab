package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/cgroup"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
)

// budget is what the sessions of one call may use of the machine's memory.
type budget struct {
	memory  int64  // bytes in all; 0 where nobody knows
	reserve int64  // of it, bytes that are left to the system
	from    string // who says so
}

// use is what pytest and its workers may hold together.
func (b budget) use() int64 { return max(0, b.memory-b.reserve) }

func (b budget) String() string {
	if b.memory == 0 {
		return "memory unknown: no test waits for it (--memory SIZE says how much there is)"
	}
	return fmt.Sprintf("memory for tests up to %s: %s %s, of which %s stay free",
		humanize.IBytes(uint64(b.use())), humanize.IBytes(uint64(b.memory)), b.from, humanize.IBytes(uint64(b.reserve)))
}

// parseSize reads the SIZE of a flag.
func parseSize(flag, text string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n < 1<<20 || n > 1<<50 {
		return 0, usagef("pass a size such as 16GiB", "%s is %q", flag, text)
	}
	return int64(n), nil
}

// memorySize reads --memory, 0 for none.
func memorySize(o runOptions) (int64, error) {
	if o.memory == "" {
		return 0, nil
	}
	return parseSize("--memory", o.memory)
}

// newBudget chooses what may be used: what --memory says, what the plan's
// runner has where that is enforced, or what can be had here.
func newBudget(sys *system, o runOptions, plan *shard.Plan, s *shard.Shard) (budget, error) {
	here, err := cgroup.Host{}.Memory()
	if err != nil {
		here = cgroup.Memory{}
	}
	b := budget{memory: here.Free, from: "can be had in " + here.From}
	switch size, err := memorySize(o); {
	case err != nil:
		return budget{}, err
	case size > 0:
		b.memory, b.from = size, "by --memory"
		if here.Free > 0 && size > here.Free {
			sys.warn("--memory is %s, and %s can be had in %s", humanize.IBytes(uint64(size)), humanize.IBytes(uint64(here.Free)), here.From)
		}
	case o.enforce:
		if b.memory = runnerMemory(plan, s); b.memory == 0 {
			return budget{}, usagef("pass --memory SIZE", "--enforce needs a size, and the plan does not say what memory a runner has")
		}
		b.from = "by the plan's runner"
	}
	b.reserve = shard.Reserve(b.memory)
	if o.memory == "" && s != nil && s.Budget > 0 && s.Budget < b.use() {
		b.memory, b.from = s.Budget+b.reserve, "by the plan's runner"
	}
	return b, nil
}

// runnerMemory is the memory of a shard's runner, or of the pool's.
func runnerMemory(plan *shard.Plan, s *shard.Shard) int64 {
	if s != nil && s.Kind == shard.Memory {
		return cmp.Or(plan.Fleet.MemoryRunnerMemory, plan.Fleet.Memory)
	}
	return plan.Fleet.Memory
}

// admission is what the plugin's scheduler keeps within, nil where it is not
// known.
func (b budget) admission(s *shard.Shard) *pytest.Memory {
	if b.use() == 0 {
		return nil
	}
	return &pytest.Memory{Budget: b.use(), Floor: s.Floor, Reserve: b.reserve}
}

// enforce makes the cgroup that holds the sessions within the budget. Where
// none can be had, the run goes on and says that it proves less.
func (j *job) enforce() (release func()) {
	group, err := cgroup.Host{}.New(j.budget.memory)
	if err != nil {
		j.sys.warn("--enforce: no memory cgroup can be made here, so nothing holds pytest to %s: %s", humanize.IBytes(uint64(j.budget.memory)), strings.ReplaceAll(err.Error(), "\n", "; "))
		return func() {}
	}
	j.group = group
	return func() {
		if peak := group.Usage().Peak; peak > 0 {
			j.sys.say("%s of %s used at most (%s)", humanize.IBytes(uint64(peak)), humanize.IBytes(uint64(group.Limit)), group.How)
		}
		if err := group.Close(); err != nil {
			j.sys.warn("%v", err)
		}
	}
}

// memory is what the kernel lets the sessions have with all others on the machine, and
// what of it they can have at this moment; 0 where unknown.
func (j *job) memory() (limit, room int64) {
	if j.group != nil {
		return j.group.Limit, j.group.Limit
	}
	here, err := cgroup.Host{}.Memory()
	if err != nil {
		return 0, 0
	}
	return here.Total, here.Free
}

// kills is how many processes the kernel has killed for lack of memory so far,
// in the sessions' cgroup and on the machine.
func (j *job) kills() (own, machine int64) {
	own, machine = j.counter()
	if j.group != nil {
		own = j.group.Usage().Kills
	}
	return own, machine
}
