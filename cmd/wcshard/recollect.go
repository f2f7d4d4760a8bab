package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	stop := x.sys.progress("collecting once more")
	again, err := pytest.Collect(ctx, x.command, x.collectOptions())
	stop()
	if ctx.Err() != nil {
		return errInterruptedDoctor
	}
	var died *pytest.ExitError
	if errors.As(err, &died) {
		open := x.sys.fence(x.sys.stderr)
		fmt.Fprint(x.sys.stderr, died.Output)
		open()
	}
	if err != nil {
		return fmt.Errorf("collecting once more, as each shard does: %w", err)
	}
	renamed := renamedTests(x.tests, again)
	for i, r := range renamed {
		if i == maxUnsteady {
			x.sys.say("… and %s more like it", count(len(renamed)-i, "function"))
			break
		}
		x.find("%s: no shard finds it under that name. Keep times, random values and addresses out of the parameters of tests, or name them: ids=[…]", r)
	}
	for _, function := range reorderedFunctions(x.tests, again) {
		x.find("%s has its parameters in another order in each collection, under the same names: sort what a set or a folder gives", function)
	}
	return nil
}

// renamedTests says of each function with tests that only the first collection has what
// one of them is called there, and what may be the same in the second one.
func renamedTests(first, second *pytest.Collection) []string {
	left := map[timing.NodeID]int{}
	for i := range second.Tests {
		left[second.Tests[i].ID]++
	}
	type function struct{ gone, come []timing.NodeID }
	functions := map[string]*function{}
	of := func(id timing.NodeID) *function {
		name, _, _ := strings.Cut(string(id), "[")
		if functions[name] == nil {
			functions[name] = &function{}
		}
		return functions[name]
	}
	var order []*function
	for i := range first.Tests {
		id := first.Tests[i].ID
		if left[id]--; left[id] >= 0 {
			continue
		}
		f := of(id)
		if f.gone == nil {
			order = append(order, f)
		}
		f.gone = append(f.gone, id)
	}
	for i := range second.Tests {
		if id := second.Tests[i].ID; left[id] > 0 {
			left[id]--
			of(id).come = append(of(id).come, id)
		}
	}
	var said []string
	for _, f := range order {
		text := fmt.Sprintf("%s is not in a second collection", f.gone[0])
		if len(f.come) > 0 {
			text = fmt.Sprintf("%s is %s in a second collection", f.gone[0], f.come[0])
		}
		if len(f.gone) > 1 {
			text = fmt.Sprintf("%s (and %d more of its tests)", text, len(f.gone)-1)
		}
		said = append(said, text)
	}
	return said
}

// reorderedFunctions returns the functions whose parameters have the same values in both
// collections, under other names.
func reorderedFunctions(first, second *pytest.Collection) []string {
	var found []string
	for _, p := range second.Collector.Parameters {
		if slices.ContainsFunc(first.Collector.Parameters, func(q shard.Parameters) bool {
			return q.ID == p.ID && q.Values == p.Values && q.Order != p.Order
		}) {
			found = append(found, p.ID)
		}
	}
	return found
}
