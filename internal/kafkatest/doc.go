// Package kafkatest runs a real Apache Kafka for tests: brokers of their own, on
// loopback, that can be killed and brought back.
//
// [Start] gives a [Cluster] of one or more nodes, each broker and controller at
// once, and stops it with the test. [Options] say how many, and whether there are
// listeners with TLS, SASL and access control beside the plain one. A node is a
// process of `java`; [Cluster.Kill] ends it as a power cut would end the process,
// [Cluster.Restart] starts it on the same files and ports, [Cluster.InSync] waits
// until no replica is missing anywhere. [Cluster.Create], [Cluster.Leader] and
// [Cluster.Committed] are what tests ask of topics.
//
// The jars come from Maven Central by `make test-kafka`; a test that calls Start
// is skipped unless the environment variable SLUICE_TEST_KAFKA names their
// folder, or is 1 for the folder where make puts them.
//
// Methods may be called by several goroutines, each node by one at a time; only
// Start and the methods that return no error may fail the test, so those belong to
// the test's goroutine. Nothing here is for production: data is not flushed, and
// passwords stand in files of the test.
package kafkatest
