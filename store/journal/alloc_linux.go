package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate reserves the blocks, so that a full disk is an error here, before
// anything is written, and not at some later write or sync.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return writeZeros(f, 0, size)
		default:
			return os.NewSyscallError("fallocate", err)
		}
	}
}

// datasync leaves out the times of the file, which nothing here reads.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
