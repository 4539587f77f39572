package engine

// StepAt calls f behind each step of a backfill.
func (o *Options) StepAt(f func(name string)) { o.step = f }

// Settled tells that no checkpoint is on its way, and none owed.
func (c *Cell) Settled() bool { return !c.owed.Load() && !c.saving.Load() } // in this order: save turns the one into the other

// Cleared tells that nothing is left of a backfill that ended.
func (c *Cell) Cleared() bool { return c.aside.state.Load() == asideFree }

// ClearAtOnce bounds the rows that a checkpoint removes, before any cell runs.
func ClearAtOnce(rows int) { clearAtOnce = rows }
