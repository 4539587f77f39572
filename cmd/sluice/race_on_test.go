//go:build race

package main

// raced: children are slowed down as well, so there are fewer of them.
const raced = true
