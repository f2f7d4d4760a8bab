package main

import (
	"context"
	"fmt"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// maxUnsteady is how many functions are named whose tests no other process knows.
const maxUnsteady = 5

// checkRepeatable collects once more, and finds what that collection names otherwise: the
// shards, which are processes of their own, would not find these tests, or take one for
// another.
func (x *examination) checkRepeatable(ctx context.Context) error {
	again, _, err := x.inspect(ctx, "collecting once more", []string{})
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		x.find("a second collection, such as each shard's, fails: %v", err)
		return nil
	}
	x.findEach(renamedTests(x.tests, again))
	x.findEach(reorderedFunctions(x.tests, again))
	return nil
}

// findEach prints findings of one kind, the first few.
func (x *examination) findEach(texts []string) {
	for i, text := range texts {
		if i == maxUnsteady {
			x.sys.say("… and %s more like it", count(len(texts)-i, "function"))
			break
		}
		x.find("%s", text)
	}
}

// renamedTests says of each function with tests that one of two collections has alone
// what one of them is called there, and what may be the same in the other one.
func renamedTests(first, second *pytest.Collection) []string {
	type function struct{ gone, come []timing.NodeID }
	functions := map[string]*function{}
	var order []*function
	of := func(id timing.NodeID) *function {
		name := id.Function()
		if functions[name] == nil {
			functions[name] = &function{}
			order = append(order, functions[name])
		}
		return functions[name]
	}
	left := map[timing.NodeID]int{}
	for i := range second.Tests {
		left[second.Tests[i].ID]++
	}
	for i := range first.Tests {
		if id := first.Tests[i].ID; left[id] > 0 {
			left[id]--
		} else {
			of(id).gone = append(of(id).gone, id)
		}
	}
	for i := range second.Tests {
		if id := second.Tests[i].ID; left[id] > 0 {
			left[id]--
			of(id).come = append(of(id).come, id)
		}
	}
	var said []string
	for _, f := range order {
		more := ""
		if n := max(len(f.gone), len(f.come)) - 1; n > 0 {
			more = fmt.Sprintf(" (and so with %d more of its tests)", n)
		}
		switch {
		case len(f.come) == 0:
			said = append(said, fmt.Sprintf("%s is not in a second collection%s: no shard finds it; see what it hangs on", f.gone[0], more))
		case len(f.gone) == 0:
			said = append(said, fmt.Sprintf("%s is in a second collection alone%s: no shard has it; see what it hangs on", f.come[0], more))
		default:
			said = append(said, fmt.Sprintf("%s is %s in a second collection%s: no shard finds it under that name. Keep times, random values and addresses out of the parameters of tests, or name them: ids=[…]", f.gone[0], f.come[0], more))
		}
	}
	return said
}

// reorderedFunctions says of which functions the parameters have the same values in both
// collections, under other names.
func reorderedFunctions(first, second *pytest.Collection) []string {
	before := map[string]shard.Parameters{}
	for _, p := range first.Collector.Parameters {
		before[p.ID] = p
	}
	var said []string
	for _, p := range second.Collector.Parameters {
		if q := before[p.ID]; q.Values == p.Values && q.Order != p.Order {
			said = append(said, fmt.Sprintf("%s has its parameters in another order in each collection, under the same names: sort what a set or a folder gives", p.ID))
		}
	}
	return said
}
