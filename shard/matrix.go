package shard

import (
	"strconv"
)

// Matrix returns the job matrix of a plan: one line of JSON, without a line
// feed, for GitHub's fromJSON:
//
//	{"include":[{"name":"pool-1","kind":"pool","runner":"ubuntu-latest","workers":4,"timeout":12,"tests":123,"seconds":251.3}]}
//
// All values are scalars, timeout is in minutes, and rows are longest first.
// A row names its shard and nothing of what is in it, so that the line stays
// far below the limit of an output, 1 MB in UTF-16. The given keys follow in
// each row.
func (p *Plan) Matrix(more ...Key) []byte {
	b := []byte(`{"include":[`)
	for i := range p.Shards {
		s := &p.Shards[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"name":`...), s.Name)
		b = appendString(append(b, `,"kind":`...), string(s.Kind))
		b = appendString(append(b, `,"runner":`...), s.Runner)
		b = appendInt(append(b, `,"workers":`...), int64(s.Workers))
		b = appendInt(append(b, `,"timeout":`...), int64(s.Timeout))
		b = appendInt(append(b, `,"tests":`...), int64(s.Len()))
		tenths := (micros(s.Wall) + 50_000) / 100_000
		b = appendInt(append(b, `,"seconds":`...), tenths/10)
		b = append(b, '.', byte('0'+tenths%10))
		for _, key := range more {
			b = appendString(append(b, ','), key.Name)
			b = appendString(append(b, ':'), key.Value)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// Key is a further key of a matrix row.
type Key struct{ Name, Value string }

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
