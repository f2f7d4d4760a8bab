// Wcshard turns one pytest suite into a matrix of CI jobs, runs any of them,
// and proves that every test ran exactly once.
//
// Run "wcshard help" for its verbs.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), newSystem(), os.Args[1:]))
}
