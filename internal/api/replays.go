package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/sluice-risk/sluice/risk"
)

// MaxReplay is how many records one call may name.
const MaxReplay = 200

// replayPatience ends within the time that an answer may take.
const replayPatience = 60 * time.Second

// ReplayRequest names records of source topics that are to be read again.
type ReplayRequest struct {
	Records []ReplayRecords `json:"records"`
}

// ReplayRecords are those of one partition.
type ReplayRecords struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Offsets   []int64 `json:"offsets"`
}

// Replayed is what became of one record.
type Replayed struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Result    string `json:"result"`
	Event     string `json:"event,omitempty"`
	Decision  string `json:"decision,omitempty"`
	Position  uint64 `json:"position,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Detail    string `json:"detail,omitempty"`
}

// ReplayAnswer has them in the order in which they were asked for.
type ReplayAnswer struct {
	Results []Replayed `json:"results"`
}

// replayResults are all there are, with what they mean.
var replayResults = [][2]string{
	{"taken", "it is an event now"},
	{"duplicate", "it was taken before"},
	{"skipped", "the source's mapping leaves it out"},
	{"refused", "it still cannot be taken, for the reason given"},
	{"gone", "the brokers no longer have it"},
	{"not_a_source", "this server does not read that topic for the key's tenant"},
	{"not_read_yet", "it comes by itself"},
	{"failed", "not known: asking again is safe"},
}

// replay answers POST /v1/dead-letters/replays.
func (c *call) replay() {
	if !c.takesJSON() {
		return
	}
	body, ok := c.body()
	if !ok {
		return
	}
	var request ReplayRequest
	if err := jsonv2.Unmarshal(body, &request, jsonv2.RejectUnknownMembers(true)); err != nil {
		c.problem(invalidReplay, "not a list of records", replayProblem(err))
		return
	}
	places, fault := request.places()
	if fault != nil {
		c.problem(invalidReplay, fault.Detail, *fault)
		return
	}
	if c.server.opts.Replay == nil {
		c.problem(notFound, "this server reads no topics")
		return
	}
	if c.server.cell.Bundle() == nil {
		c.problem(noRelease, "nothing was kept: send it again")
		return
	}
	tenant := c.who.Tenant
	if c.server.opts.Keys == nil {
		tenant = "" // whoever may do everything
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), replayPatience)
	defer cancel()
	c.sendJSON(200, ReplayAnswer{c.server.opts.Replay(ctx, tenant, places)})
}

// places lists the records one by one, or says what is wrong first.
func (r *ReplayRequest) places() ([]risk.Source, *risk.Problem) {
	fault := func(code, detail, pointer string, args ...any) *risk.Problem {
		return &risk.Problem{Pointer: fmt.Sprintf(pointer, args...), Code: code, Detail: detail}
	}
	var places []risk.Source
	for i, part := range r.Records {
		switch {
		case part.Topic == "" || len(part.Topic) > 249:
			return nil, fault(risk.CodeRequired, "a topic has 1 to 249 characters", "/records/%d/topic", i)
		case part.Partition < 0:
			return nil, fault(risk.CodeInputInvalid, "partitions are counted from 0", "/records/%d/partition", i)
		}
		for j, offset := range part.Offsets {
			if offset < 0 {
				return nil, fault(risk.CodeInputInvalid, "offsets are counted from 0", "/records/%d/offsets/%d", i, j)
			}
			if len(places) == MaxReplay {
				return nil, fault(risk.CodeTooMany, fmt.Sprintf("at most %d records at once", MaxReplay), "/records")
			}
			places = append(places, risk.Source{Topic: part.Topic, Partition: part.Partition, Offset: offset})
		}
	}
	if len(places) == 0 {
		return nil, fault(risk.CodeRequired, "no record is named", "/records")
	}
	return places, nil
}

// replayProblem says where a body is no request.
func replayProblem(err error) risk.Problem {
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return risk.Problem{Pointer: string(e.JSONPointer), Code: risk.CodeInputInvalid, Detail: "not a member of a request, or not of its type",
			Hint: `send {"records": [{"topic": "payments", "partition": 0, "offsets": [17]}]}`}
	}
	return outcomeProblem(err)
}
