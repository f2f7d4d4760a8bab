package actions

import (
	"encoding/json"
	"fmt"
)

// MaxEnv is how long NAME=value may be in a process's environment on Linux,
// the closing zero included (execve(2), MAX_ARG_STRLEN: 32 pages).
const MaxEnv = 128 << 10

// aroundEnv is room for the rest of a variable that holds the context "needs":
// names and results of jobs, other outputs, the variable's name.
const aroundEnv = 8 << 10

// CheckEnv reports whether an output can still reach a program as
// ${{ toJSON(needs) }} in an environment variable, which writes it as a JSON
// string. A longer one would kill the step before it starts, with "Argument
// list too long".
func CheckEnv(output string) error {
	quoted, err := json.Marshal(output)
	if err != nil {
		return err
	}
	if size := len(quoted) + aroundEnv; size > MaxEnv {
		return fmt.Errorf("it takes %d bytes in an environment variable, a job may have %d", size, MaxEnv)
	}
	return nil
}
