//go:build !linux

package doctor

func synchronised() (synced, known bool) { return false, false }
