package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// run is the whole command; it returns the exit status.
func run(ctx context.Context, sys *system, args []string) (status int) {
	defer func() {
		if cause := recover(); cause != nil {
			fmt.Fprintf(sys.stderr, "wcshard: error: internal error: %v\n%s", cause, debug.Stack())
			fmt.Fprintf(sys.stderr, "wcshard: hint: this is a bug of wcshard; please report it with the lines above\n")
			status = exitSoftware
		}
	}()
	root := newRoot(sys)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		return sys.report(err)
	}
	return exitOK
}

func newRoot(sys *system) *cobra.Command {
	root := &cobra.Command{
		Use:   "wcshard",
		Short: "Turn one pytest suite into a matrix of CI jobs, and prove that every test ran once",
		Long: `Turn one pytest suite into a matrix of CI jobs, and prove that every test ran once.

matrix collects the tests, packs them from measured durations and writes a plan;
run runs one shard of it, here or in CI; verify compares what ran with what was
planned; merge learns from it for the next plan; advise says what each number of
jobs comes to; doctor compares the tests' markers with what was measured.

Each flag can also be given as an environment variable: --max-age as
WCSHARD_MAX_AGE. All after -- belongs to pytest.`,
		Example: `  wcshard matrix --shards 4 -- tests      # plan: wcshard-plan.json
  wcshard run --shard pool-1              # run one shard of it
  wcshard verify wcshard-results          # every test exactly once?
  wcshard merge wcshard-results           # learn: wcshard-timings.jsonl`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(`run "wcshard help" for the verbs`, "there is no verb %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("wcshard {{.Version}}\n")
	root.SetIn(sys.stdin)
	root.SetOut(sys.stdout)
	root.SetErr(sys.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		hint := fmt.Sprintf(`run "wcshard help %s" for its flags`, cmd.Name())
		if strings.Contains(cmd.Use, "pytest arguments]") {
			hint += fmt.Sprintf("; pytest's own stand after --: wcshard %s -- -k word", cmd.Name())
		}
		return usagef(hint, "reading the command line: %w", err)
	})
	root.AddCommand(newMatrix(sys), newAdvise(sys), newRun(sys), newVerify(sys), newMerge(sys), newDoctor(sys), newDemo(sys))
	for _, verb := range root.Commands() {
		fromEnvironment(sys, verb)
	}
	return root
}

// exclusive are flags of which one says what others say differently. Where the
// command line has one of them, the environment's others do not count.
var exclusive = [][]string{
	{"shard", "shard-index", "row", "all"},
	{"plan", "from-run"},
	{"ids", "pytest"},
}

// overruled reports whether the command line has a flag in place of this one.
func overruled(given map[string]bool, name string) bool {
	return slices.ContainsFunc(exclusive, func(group []string) bool {
		return slices.Contains(group, name) && slices.ContainsFunc(group, func(other string) bool { return given[other] })
	})
}

// companions are flags that say nothing without another one: on the command line that is
// a mistake. A variable may be meant for another verb or job of a whole pipeline.
var companions = []struct{ verb, flag, with, value, hint string }{ // value "" is any
	{"run", "workers", "all", "true", "leave it out: a plan says how many workers a shard has; -- -n N has pytest-xdist take others"},
	{"run", "memory-workers", "all", "true", "leave it out, or run all shards: --all"},
	{"run", "timings", "all", "true", "leave it out, or run all shards: --all"},
	{"run", "schedule", "all", "true", "leave it out, or run all shards: --all"},
	{"run", "repo", "from-run", "", "pass the number or the URL of a run: --from-run"},
	{"run", "api-url", "from-run", "", "pass the number or the URL of a run: --from-run"},
	{"merge", "repo", "from-run", "", "pass the number or the URL of a run: --from-run"},
	{"merge", "api-url", "from-run", "", "pass the number or the URL of a run: --from-run"},
	{"matrix", "pipeline", "output", "gitlab", "leave it out, or add --output gitlab"},
	{"matrix", "max-parallel", "output", "github", "leave it out, or add --output github"},
}

// lonely returns an error where the command line has a flag without its companion.
func lonely(verb *cobra.Command, given map[string]bool) error {
	for _, c := range companions {
		if verb.Name() != c.verb || !given[c.flag] {
			continue
		}
		value := verb.Flags().Lookup(c.with).Value.String()
		missing := value != c.value
		if c.value == "" {
			missing = value == "" // any will do
		}
		if missing {
			return usagef(c.hint, "--%s has no effect without --%s", c.flag, strings.TrimSpace(c.with+" "+strings.TrimPrefix(c.value, "true")))
		}
	}
	return nil
}

// fromEnvironment lets each flag of a verb also be set by WCSHARD_…; the
// command line wins.
func fromEnvironment(sys *system, verb *cobra.Command) {
	work := verb.RunE
	verb.RunE = func(cmd *cobra.Command, args []string) error {
		var bad error
		given := map[string]bool{}
		cmd.Flags().Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			name := variable(flag.Name)
			value := sys.getenv(name)
			if flag.Changed || value == "" || bad != nil || flag.Name == "help" || overruled(given, flag.Name) {
				return
			}
			if err := setAll(flag, value); err != nil {
				_, usage := pflag.UnquoteUsage(flag)
				hint := "unset " + name + ", or give it a value that --" + flag.Name + " takes: " + usage
				if sys.getenv("GITHUB_ACTIONS") == "true" {
					hint = "the action's input " + flag.Name + " sets it: " + usage
				}
				bad = usagef(hint, "reading %s=%q from the environment: %w", name, value, err)
			}
		})
		if bad != nil {
			return bad
		}
		if err := lonely(cmd, given); err != nil {
			return err
		}
		return work(cmd, args)
	}
}

// setAll sets a flag from a variable: a repeatable one from each line.
func setAll(flag *pflag.Flag, value string) error {
	values := []string{value}
	if flag.Value.Type() == "stringArray" {
		values = slices.DeleteFunc(strings.Split(value, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	}
	for _, one := range values {
		if err := flag.Value.Set(strings.TrimSpace(one)); err != nil {
			return err
		}
	}
	flag.Changed = true
	return nil
}

// variable is the name of the environment variable for a flag.
func variable(flag string) string {
	return "WCSHARD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// split tells a verb's own arguments from pytest's, which stand after "--".
func split(cmd *cobra.Command, args []string) (own, pytest []string) {
	if at := cmd.ArgsLenAtDash(); at >= 0 {
		return args[:at], args[at:]
	}
	return args, nil
}

// noArguments refuses arguments before "--", where somebody forgot it.
func noArguments(cmd *cobra.Command, own []string) error {
	if len(own) == 0 {
		return nil
	}
	hint := fmt.Sprintf("pytest's arguments stand after --: wcshard %s -- %s", cmd.Name(), strings.Join(own, " "))
	if cmd.Flags().Lookup("shard") != nil {
		hint = fmt.Sprintf("a shard is named by --shard %s; pytest's arguments stand after --", own[0])
	}
	return usagef(hint,
		"%s takes no argument %q", cmd.Name(), own[0])
}

// release is the version of a release; .ci/release sets it when it builds one.
var release string

// version is the release, else the module's version, and the commit for a build
// from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if release != "" {
		return release + " " + info.GoVersion
	}
	text := info.Main.Version
	if text == "" || text == "(devel)" {
		text = "devel"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && text == "devel" {
			text += " " + setting.Value
		}
	}
	return text + " " + info.GoVersion
}

// dir is the working directory, which pytest shares.
func dir() (string, error) {
	return os.Getwd()
}
