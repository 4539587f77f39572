package main

import (
	"testing"

	"github.com/sluice-risk/sluice/internal/config"
)

// The limit stands in docs/operations.md.
func TestMemoryLimit(t *testing.T) {
	cfg := &config.Config{}
	cfg.State.Memory = 2 << 30
	if got, want := memoryLimit(cfg), int64(5<<30); got != want {
		t.Errorf("memoryLimit(state.memory 2 GiB) = %d, want %d", got, want)
	}
}
