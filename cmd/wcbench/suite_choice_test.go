package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestSuiteChoice(t *testing.T) {
	for _, test := range []struct {
		name    string
		choice  suiteChoice
		args    []string
		want    []suiteSpec
		wantErr string
	}{
		{name: "none", choice: suiteChoice{}},
		{name: "by name", choice: suiteChoice{names: []string{"quick"}}, want: []suiteSpec{{name: "quick", folder: "quick", shape: suiteSpecs["quick"].shape, scale: "0.025", clock: "cpu"}}},
		{name: "unknown", choice: suiteChoice{names: []string{"nothing"}}, wantErr: "networkx, quick, sleeping, statsmodels, sympy-physics, sympy-series"},
		{name: "a package", choice: suiteChoice{names: []string{"quick"}, module: "pint"}, want: []suiteSpec{{name: "pint", folder: "pint-b50c5926-b50c5926", venv: "pint-b50c5926", module: "pint", packages: []string{"pint"}, args: []string{"pint"}, shape: "named by --module"}}},
		{
			name:   "a package's part",
			choice: suiteChoice{module: "pint", packages: []string{"pint==0.25", "numpy"}}, args: []string{"pint/testsuite", "-k", "not slow"},
			want: []suiteSpec{{name: "pint", folder: "pint-78ccc524-0f04e35a", venv: "pint-78ccc524", module: "pint", packages: []string{"pint==0.25", "numpy"}, args: []string{"pint/testsuite", "-k", "not slow"}, shape: "named by --module"}},
		},
		{name: "a path", choice: suiteChoice{module: "../pint"}, wantErr: "as Python imports it"},
		{name: "arguments of nothing", choice: suiteChoice{names: []string{"quick"}}, args: []string{"-x"}, wantErr: "belong to --module"},
		{name: "packages of nothing", choice: suiteChoice{packages: []string{"numpy"}}, wantErr: "belongs to --module"},
	} {
		got, err := test.choice.specs(&cobra.Command{}, test.args)
		if test.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("%s: specs() = %v, want an error with %q", test.name, err, test.wantErr)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: specs() = %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
}
