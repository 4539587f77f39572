package engine

// StepAt calls f behind each step of a backfill.
func (o *Options) StepAt(f func(name string)) { o.step = f }

// ClearAtOnce bounds the rows that a checkpoint removes, before any cell runs.
func ClearAtOnce(rows int) { clearAtOnce = rows }
