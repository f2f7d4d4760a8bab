// Wcbench measures wcshard beside its rivals. It is for those who work on
// wcshard, and no part of what users install.
//
//	go run ./cmd/wcbench plan [--data DIR] [--tests N] [--json]
//	go run ./cmd/wcbench scale [--tests N] [--files N] [--shards N]
//	go run ./cmd/wcbench recording [--tests N] [--rounds N]
//	go run ./cmd/wcbench action [--tests N] [--shards N] [--limit 3s]
//	go run ./cmd/wcbench truth [--cases N] [--seed N]
//	go run ./cmd/wcbench noise [--data DIR] [--json]
//	go run ./cmd/wcbench suites [--suites NAMES] [--shards N,...] [--quick] [--keep FOLDER] [--json] [--markdown]
//	go run ./cmd/wcbench inside [--suites NAMES] [--workers N,...] [--rounds N] [--quick] [--json]
//	go run ./cmd/wcbench predictions [--suites NAMES] [--workers N,...] [--noise] [--json]
//
// Rivals are called through their own code: pytest's plugins from PyPI in virtual
// environments, gotestsum's own command. All are installed into the user's cache
// once, in fixed versions.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"
)

// The rivals' versions.
const (
	pytestSplit = "pytest-split==0.11.0"
	gotestsum   = "v1.13.0"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root := &cobra.Command{
		Use:           "wcbench",
		Short:         "Measure wcshard beside its rivals",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newPlan(), newScale(), newRecording(), newAction(), newTruth(), newSuites(), newInside(), newNoise(), newPredictions(), newFakePytest(), newMeasured())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "wcbench: error: %v\n", err)
		os.Exit(1)
	}
}

// cacheDir returns the folder for what is installed once.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache: %w", err)
	}
	dir := filepath.Join(cache, "wcshard", "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	return dir, nil
}
