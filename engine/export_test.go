package engine

// StepAt calls f behind each step of a backfill.
func (o *Options) StepAt(f func(name string)) { o.step = f }
