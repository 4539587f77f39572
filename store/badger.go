package store

import (
	"fmt"
	"log/slog"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	// A value, or the state of a checkpoint, must stay inline: with values in the
	// value log and its collection running, deleted keys came back.
	inlineBelow = MaxState + 8<<10
	// Badger's smallest; a transaction must be able to hold the largest state.
	smallestMemTable = 1 << 20
	defaultMemTable  = 64 << 20

	blockSize = 4 << 10
	// Entities are ids and packed numbers, and decisions come packed: with Snappy tables
	// were a quarter smaller, and a look-up took twice as long.
	compression = options.None
	// A level more is a table more to look into for every entity.
	baseLevel = 512 << 20
	// memTables wait to be flushed at most, beside the one that is written.
	memTables = 3
)

// badgerOptions are a decision about the files as much as about speed: memory
// table size, block size and compression may not change for a directory.
func badgerOptions(dir string, memTable int64, log *slog.Logger) badger.Options {
	o := badger.DefaultOptions(dir)
	o.SyncWrites = true
	o.DetectConflicts = false // one writer
	o.MetricsEnabled = false
	o.Logger = badgerLog{log}

	o.MemTableSize = memTable
	o.NumMemtables = memTables
	o.BaseTableSize = min(o.BaseTableSize, memTable)
	o.BlockSize = blockSize
	o.Compression = compression
	o.BlockCacheSize = 0 // blocks are read where the tables are mapped
	o.BaseLevelSize = baseLevel
	o.NumCompactors = 2

	o.ValueThreshold = inlineBelow
	o.ValueLogFileSize = 1 << 20 // stays empty; twice this is mapped

	// verifyTables has read every block before Badger opens a table. Badger's own
	// modes end the process when they meet a damaged block (v4.9.6), and checking
	// twice makes opening 2.6 times as long.
	o.ChecksumVerificationMode = options.NoVerification
	return o
}

// badgerLog passes warnings and errors on, without keys or values.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(format string, v ...any) {
	l.log.Error("badger", "message", plain(fmt.Sprintf(format, v...)))
}

func (l badgerLog) Warningf(format string, v ...any) {
	l.log.Warn("badger", "message", plain(fmt.Sprintf(format, v...)))
}

func (badgerLog) Infof(string, ...any)  {}
func (badgerLog) Debugf(string, ...any) {}
