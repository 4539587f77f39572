// Package parquet writes flat tables as Apache Parquet files: texts, integers,
// instants and float64, each column with or without missing values.
//
// A [Writer] takes a table column by column, a row group at a time, and writes the
// file's footer when it is closed; what was not closed is no Parquet file. A
// [Column] says what a column holds, [Values] are the values of one column of one
// row group.
//
// It is a small part of the format, since a table of features needs no more: data
// pages of version 1, plain encoding, Zstandard, one page a column and row group.
// Every reader of Parquet since 2019 takes that. float64 are written bit by bit.
// There is no reader: other programs are.
//
// A Writer belongs to one goroutine.
package parquet
