package diag

import "io"

// Render prints the mistakes.
func Render(w io.Writer, l List, files Files) {}
