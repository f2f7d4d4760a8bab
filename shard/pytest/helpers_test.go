package pytest

import (
	"errors"
	"os/exec"
	"testing"
)

// mostRuns is how often a shard is run to learn how long its parts take. A busy machine
// adds to a sleep and never takes away: the shortest of some runs is the time itself.
const mostRuns = 15

func execIn(t *testing.T, dir string, env []string, command Command, args []string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command.Argv[0], append(command.Argv[1:len(command.Argv):len(command.Argv)], args...)...)
	cmd.Dir, cmd.Env = dir, env
	return cmd
}

func asExit(err error, exit **ExitError) bool { return errors.As(err, exit) }

func asHint(err error, hint **HintError) bool { return errors.As(err, hint) }
