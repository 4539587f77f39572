//go:build race

package engine_test

// raced: children are slowed down as well, so there are fewer of them.
const raced = true
