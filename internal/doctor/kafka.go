package doctor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/internal/stream"
)

// brokers asks the brokers for the topics.
func (e *examination) brokers() {
	cfg := e.cfg
	if !cfg.Kafka.Enabled() {
		return
	}
	const do = "docs: Connections"
	brokers, err := stream.Reach(cfg.Kafka, "sluice-doctor", slog.New(slog.DiscardHandler))
	if err != nil {
		e.problem("brokers", do, "%v", err)
		return
	}
	client, err := brokers.Client(kgo.RequestRetries(3))
	if err != nil {
		e.problem("brokers", do, "%v", err)
		return
	}
	defer client.Close()
	ctx, stop := context.WithTimeout(e.ctx, 15*time.Second)
	defer stop()
	kinds := map[string]string{} // topic -> what it is for
	for _, s := range cfg.Sources {
		kinds[s.Topic] = "source"
	}
	for _, name := range []string{cfg.Outputs.Decisions, cfg.Outputs.Alerts, cfg.Outputs.DeadLetter, "sluice.published"} {
		if name != "" {
			kinds[name] = "output"
		}
	}
	request := kmsg.NewPtrMetadataRequest()
	for name := range kinds {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		e.problem("brokers", do, "%v", brokers.Explain(err))
		return
	}
	e.ok("brokers", "%d answer for %s", len(answer.Brokers), strings.Join(cfg.Kafka.Brokers, ","))
	slices.SortFunc(answer.Topics, func(a, b kmsg.MetadataResponseTopic) int { return strings.Compare(*a.Topic, *b.Topic) })
	for _, t := range answer.Topics {
		check := "topic " + *t.Topic
		leaderless := 0
		for _, p := range t.Partitions {
			if p.Leader < 0 {
				leaderless++
			}
		}
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition) && kinds[*t.Topic] == "source":
			e.problem(check, "make it, or mend sources: it is waited for", "is not there, or the user may not see it")
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			e.warn(check, "make it (docs: Brokers and topics), or let the server make it with one partition", "is not there, or the user may not see it")
		case err != nil:
			e.problem(check, "docs: Connections, rights", "%v", err)
		case leaderless > 0:
			e.problem(check, "look at the brokers", "%d of %d partitions have no leader", leaderless, len(t.Partitions))
		default:
			e.ok(check, "%s, %d partitions", kinds[*t.Topic], len(t.Partitions))
		}
	}
}
