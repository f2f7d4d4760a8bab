package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// A suiteChoice is which suites a verb runs: some of suiteSpecs, or one that
// only its flags describe, so that anybody can try the tests of a package that
// nobody here has looked at.
type suiteChoice struct {
	names    []string
	module   string
	packages []string
	python   string
}

const moduleHelp = `Any other package from PyPI whose wheel has its tests is a suite as well, with
--module, --packages, and pytest's arguments after --. All of its tests have to
pass; --python is for a package that wants a newer one:

  wcbench %s --module pint --packages pint==0.25.3,numpy==2.3.5 -- pint/testsuite --ignore pint/testsuite/benchmarks

`

// bind adds the flags that choose suites to a verb, and describes the suites in
// its help.
func (c *suiteChoice) bind(verb *cobra.Command) {
	verb.Args = cobra.ArbitraryArgs
	verb.Long = strings.Replace(verb.Long, "SUITES\n", describeSuites()+"\n"+fmt.Sprintf(moduleHelp, verb.Name()), 1)
	verb.Use += " [-- PYTEST-ARGUMENTS]"
	f := verb.Flags()
	f.StringSliceVar(&c.names, "suites", c.names, "suites to run")
	f.StringVar(&c.module, "module", "", "run the tests of this `PACKAGE` instead, as Python imports it")
	f.StringSliceVar(&c.packages, "packages", nil, "with --module: what to install, as pip takes it (default: the package)")
	f.StringVar(&c.python, "python", "", "interpreter to make virtual environments with (default: one that is new enough)")
}

// specs returns the chosen suites, given the arguments after --.
func (c *suiteChoice) specs(verb *cobra.Command, args []string) ([]suiteSpec, error) {
	if c.module == "" {
		switch {
		case len(args) > 0:
			return nil, fmt.Errorf("arguments of pytest (%q) belong to --module", args)
		case len(c.packages) > 0:
			return nil, errors.New("--packages belongs to --module")
		}
		var specs []suiteSpec
		for _, name := range c.names {
			spec, ok := suiteSpecs[name]
			if !ok {
				return nil, fmt.Errorf("there is no suite %q; there are %s, and any package with --module", name, strings.Join(suiteNames(), ", "))
			}
			spec.name, spec.folder, spec.venv = name, name, spec.module
			specs = append(specs, spec)
		}
		return specs, nil
	}
	if strings.ContainsAny(c.module, `./\`) {
		return nil, fmt.Errorf("--module is %q, want the name of a package as Python imports it, such as networkx", c.module)
	}
	for _, flag := range []string{"suites", "quick"} {
		if verb.Flags().Changed(flag) {
			return nil, fmt.Errorf("--module and --%s exclude each other", flag)
		}
	}
	spec := suiteSpec{name: c.module, module: c.module, packages: slices.Clone(c.packages), args: args, shape: "named by --module"}
	if len(spec.packages) == 0 {
		spec.packages = []string{c.module}
	}
	if len(spec.args) == 0 {
		spec.args = []string{c.module}
	}
	// What is kept of it, and what it runs with, are of these very packages.
	spec.venv = c.module + "-" + digest(spec.packages)
	spec.folder = spec.venv + "-" + digest(spec.args)
	return []suiteSpec{spec}, nil
}

// options are the flags and arguments that choose the suite.
func (spec suiteSpec) options() []string {
	if spec.folder == spec.name { // not by --module
		return []string{"--suites", spec.name}
	}
	return append([]string{"--module", spec.module, "--packages", strings.Join(spec.packages, ","), "--"}, spec.args...)
}

func digest(words []string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(words, "\x00"))))[:8]
}
