package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// helpBlock is what stands in README.md between the markers for a verb's help.
var helpBlock = regexp.MustCompile(`(?s)(<!-- help (\w+) -->\n)(.*?)(<!-- end help -->\n)`)

// TestReadmeHelp keeps README.md and --help in step: README holds each verb's
// flags as the program prints them. UPDATE_README=1 rewrites them.
func TestReadmeHelp(t *testing.T) {
	name := filepath.Join(repository(t), "README.md")
	readme, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	updated := helpBlock.ReplaceAllFunc(readme, func(block []byte) []byte {
		parts := helpBlock.FindSubmatch(block)
		verb := string(parts[2])
		shown[verb] = true
		return bytes.Join([][]byte{parts[1], []byte("```text\n"), flagsOf(t, verb), []byte("```\n"), parts[4]}, nil)
	})
	for _, verb := range newRoot(newSystem()).Commands() {
		if name := verb.Name(); !shown[name] && name != "help" && name != "completion" {
			t.Errorf("README.md shows no flags of %s", name)
		}
	}
	if bytes.Equal(updated, readme) {
		return
	}
	if os.Getenv("UPDATE_README") == "" {
		t.Fatal("README.md and --help differ; UPDATE_README=1 go test ./cmd/wcshard -run TestReadmeHelp mends README.md")
	}
	if err := os.WriteFile(name, updated, 0o666); err != nil {
		t.Fatal(err)
	}
}

// flagsOf returns the lines of a verb's help from "Flags:" on.
func flagsOf(t *testing.T, verb string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(context.Background(), &system{stdout: &stdout, stderr: &stderr}, []string{"help", verb}); status != exitOK {
		t.Fatalf("wcshard help %s: status %d\n%s", verb, status, &stderr)
	}
	_, flags, ok := bytes.Cut(stdout.Bytes(), []byte("Flags:\n"))
	if !ok {
		t.Fatalf("wcshard help %s shows no flags:\n%s", verb, &stdout)
	}
	return flags
}
