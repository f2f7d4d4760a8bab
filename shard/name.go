package shard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
)

// maxName is the longest name of a shard: job and artifact names are made of
// it.
const maxName = 60

// memoryNames names memory shards after their first file by name: mem-<stem>,
// with folders in front where stems are the same. Names differ in more than
// case, as artifacts may land on a disk that does not tell cases apart. A name
// depends on the set of files only, so that it stays the same from run to run;
// parts of a module that was cut are numbered.
func (q *sequence) memoryNames(packs [][]int32) []string {
	paths := make([][]string, len(packs)) // folders and stem
	more := make([]int, len(packs))
	whole := make([]string, len(packs))
	for k, tests := range packs {
		files := map[int32]bool{}
		for _, p := range tests {
			f := q.file[p]
			files[f] = true
			if name := q.files[f]; whole[k] == "" || name < whole[k] {
				whole[k] = name
			}
		}
		more[k] = len(files) - 1
		paths[k] = strings.Split(strings.TrimSuffix(path.Clean("/" + whole[k])[1:], path.Ext(whole[k])), "/")
	}
	depth := make([]int, len(packs))
	names := make([]string, len(packs))
	for again := true; again; {
		again = false
		count, seen := map[string]int{}, map[string]bool{}
		for k, parts := range paths {
			names[k] = memoryName(parts[max(0, len(parts)-1-depth[k]):], more[k])
			if !seen[whole[k]] {
				seen[whole[k]] = true
				count[strings.ToLower(names[k])]++
			}
		}
		for k, parts := range paths {
			if count[strings.ToLower(names[k])] > 1 && depth[k] < len(parts)-1 {
				depth[k]++
				again = true
			}
		}
	}
	seen, alone := map[string]bool{}, map[string]int{}
	for k, name := range names {
		if !seen[whole[k]] { // parts of one module are numbered
			seen[whole[k]] = true
			alone[strings.ToLower(short(name))]++
		}
	}
	for k, name := range names {
		names[k] = short(name)
		if alone[strings.ToLower(names[k])] > 1 {
			names[k] = hashed(name, whole[k])
		}
	}
	numberParts(names, whole)
	return names
}

func memoryName(parts []string, more int) string {
	name := "mem-" + clean(strings.Join(parts, "-"))
	if more > 0 {
		name += fmt.Sprintf("-and-%d", more)
	}
	return name
}

// clean replaces what may not stand in a name.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			return c
		}
		return '_'
	}, s)
}

// short returns a name within the limit.
func short(name string) string {
	if len(name) <= maxName {
		return name
	}
	return hashed(name, name)
}

// hashed marks a name with a hash of what it stands for.
func hashed(name, identity string) string {
	sum := sha256.Sum256([]byte(identity))
	tail := "-" + hex.EncodeToString(sum[:4])
	return name[:min(len(name), maxName-len(tail))] + tail
}
