//go:build !darwin

package cgroup

// machineMemory is for systems without /proc that tell by other ways.
func machineMemory() (Memory, error) { return Memory{}, ErrUnknown }
