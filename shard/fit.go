package shard

// Reserve returns the memory of a runner that pytest is not to use, where
// nobody says how much that is: a sixteenth for the system, the runner's agent
// and the page cache, between 64 MiB and 2 GiB.
func Reserve(memory int64) int64 {
	return min(max(memory/16, 64<<20), 2<<30, memory)
}

// budget returns what pytest may use on a runner of the given kind, 0 where
// its memory is unknown.
func (f Fleet) budget(kind Kind) int64 {
	memory := f.Memory
	if kind == Memory && f.MemoryRunnerMemory > 0 {
		memory = f.MemoryRunnerMemory
	}
	if memory == 0 {
		return 0
	}
	reserve := f.Reserve
	if reserve == 0 {
		reserve = Reserve(memory)
	}
	return max(0, memory-reserve)
}

// needs lists the tests of a piece whose memory a plan mentions.
func (q *sequence) needs(tests []int32) []TestNeed {
	var list []TestNeed
	for i, p := range tests {
		if n := q.test(p).Estimate.Need; max(n.High, n.Kept) >= MinNeed {
			list = append(list, TestNeed{Test: i, Need: n.High, Kept: n.Kept})
		}
	}
	return list
}
