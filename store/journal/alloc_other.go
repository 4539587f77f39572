//go:build !linux

package journal

import "os"

func allocate(f *os.File, size int64) error { return writeZeros(f, 0, size) }

// datasync: os.File.Sync is F_FULLFSYNC on macOS, which alone empties the drive's
// cache there, FlushFileBuffers on Windows, fsync elsewhere.
func datasync(f *os.File) error { return f.Sync() }
