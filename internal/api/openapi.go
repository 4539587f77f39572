package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-risk/sluice/risk"
)

// object is a JSON object of the document.
type object = map[string]any

// openAPI describes the routes, and every field of an event, as OpenAPI 3.1.
func openAPI(routes []route, o Options) ([]byte, error) {
	event, err := eventSchema()
	if err != nil {
		return nil, err
	}
	paths := object{}
	for i := range routes {
		r := &routes[i]
		if r.page {
			continue
		}
		if paths[r.path] == nil {
			paths[r.path] = object{}
		}
		paths[r.path].(object)[strings.ToLower(r.method)] = operation(r, o)
	}
	schemas := answerSchemas()
	schemas["Event"] = event
	schemas["Problem"].(object)["properties"].(object)["type"].(object)["enum"] = kindURIs()
	document := object{
		"openapi": "3.1.0",
		"info": object{
			"title":   "Sluice",
			"version": "1",
			"description": "Real-time payment risk decisions. An event is identified by the tenant of the API key and its event.id: " +
				"sending it again gives the same decision, byte for byte, and counts nothing twice.",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []object{{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": schemas,
			"securitySchemes": object{"key": object{"type": "http", "scheme": "bearer", "bearerFormat": "slc_…",
				"description": "An API key. Scopes: decide (send events, read decisions), evidence (see score, features and because), admin (operate)."}},
		},
	}
	return json.MarshalIndent(document, "", " ")
}

func kindURIs() (uris []string) {
	for _, k := range kinds {
		uris = append(uris, k.uri())
	}
	return uris
}

func operation(r *route, o Options) object {
	op := object{"operationId": r.id, "summary": r.summary}
	var parameters []object
	if strings.Contains(r.path, "{id}") {
		parameters = append(parameters, object{"name": "id", "in": "path", "required": true, "description": "Id of the decision.",
			"schema": object{"type": "string", "pattern": "^dec_[a-z2-7]{24}$"}})
	}
	if r.request != "" {
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": ref(r.request), "examples": examples[r.request]}}}
	}
	if r.request != "" && r.id != "replay" {
		parameters = append(parameters, object{"name": "Prefer", "in": "header", "description": "handling=strict refuses what would be warned of.",
			"schema": object{"type": "string"}})
	}
	if r.id == "decide" {
		parameters = append(parameters, object{"name": "Sluice-Deadline-Ms", "in": "header",
			"description": "Answer after so many milliseconds at the latest: with the decision, or with the scenario's fallback and `degraded`. By default the scenario's deadline.",
			"schema":      object{"type": "integer", "minimum": 1, "maximum": maxDeadline}})
	}
	if r.scope != "" || r.request != "" {
		parameters = append(parameters, object{"name": "traceparent", "in": "header", "description": "W3C trace context: its trace id stands in problems and logs.",
			"schema": object{"type": "string"}})
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if r.scope != "" && o.Keys != nil {
		op["security"] = []object{{"key": []string{string(r.scope)}}}
	} else {
		op["security"] = []object{}
	}
	responses := object{}
	for _, a := range r.answers {
		content := object{"application/json": object{}}
		switch {
		case a.schema != "":
			content["application/json"] = object{"schema": ref(a.schema)}
		case r.id == "metrics":
			content = object{"text/plain": object{"schema": object{"type": "string"}}}
		default:
			content["application/json"] = object{"schema": object{"type": "object"}}
		}
		response := object{"description": a.about, "content": content}
		if r.request != "" && r.id != "replay" {
			response["headers"] = object{"Idempotent-Replayed": header("string", "true where an earlier answer is repeated.")}
		}
		if r.id == "decide" {
			response["headers"].(object)["Server-Timing"] = header("string", "engine;dur= milliseconds until the decision was durable.")
			response["headers"].(object)["Retry-After"] = header("integer", "With degraded storage: seconds after which to send the event again.")
		}
		responses[strconv.Itoa(a.status)] = response
	}
	for status, kinds := range byStatus(r.allProblems()) {
		var about []string
		headers := object{}
		for _, k := range kinds {
			about = append(about, k.title+" ("+k.uri()+").")
			if k.retry != "" {
				headers["Retry-After"] = header("integer", "Seconds after which the same request may succeed.")
			}
		}
		switch status {
		case 401:
			headers["WWW-Authenticate"] = header("string", "How to present a key.")
		case 429:
			headers["RateLimit"] = header("string", "The limit that was met, what remains of it and when it is restored.")
		}
		response := object{"description": strings.Join(about, " "), "content": object{"application/problem+json": object{"schema": ref("Problem")}}}
		if len(headers) > 0 {
			response["headers"] = headers
		}
		responses[strconv.Itoa(status)] = response
	}
	op["responses"] = responses
	return op
}

// allProblems are the route's own and those that every such route has.
func (r *route) allProblems() []*kind {
	all := slices.Clone(r.problems)
	if r.scope != "" {
		all = append(all, unauthenticated, forbidden, rateLimited, internal)
	}
	if r.request != "" {
		all = append(all, incompleteBody, slowBody, tooLarge, unsupportedType)
	}
	return all
}

func byStatus(all []*kind) map[int][]*kind {
	m := map[int][]*kind{}
	for _, k := range kinds { // in their order
		if slices.Contains(all, k) {
			m[k.status] = append(m[k.status], k)
		}
	}
	return m
}

func ref(schema string) object { return object{"$ref": "#/components/schemas/" + schema} }

func header(kind, about string) object {
	return object{"description": about, "schema": object{"type": kind}}
}

// eventSchema is made from risk.Fields and what that table leaves out.
func eventSchema() (object, error) {
	groups := object{}
	group := func(name string) object {
		if groups[name] == nil {
			groups[name] = object{"type": "object", "description": groupTexts[name], "properties": object{}}
		}
		return groups[name].(object)["properties"].(object)
	}
	for i := range risk.Fields {
		f := &risk.Fields[i]
		name, member, _ := strings.Cut(f.Path, ".")
		about := fieldText(f.Path)
		if about == "" || groupTexts[name] == "" {
			return nil, fmt.Errorf("openapi: field %s has no description", f.Path)
		}
		group(name)[member] = fieldSchema(f, about)
	}
	groups["event"].(object)["required"] = []string{"id", "type", "time"}
	for path, schema := range moreFields() {
		if name, member, nested := strings.Cut(path, "."); nested {
			group(name)[member] = schema
		} else {
			groups[path] = schema
		}
	}
	return object{
		"type":       "object",
		"required":   []string{"event"},
		"properties": groups,
		"description": "One payment, login or change. What is absent is missing to the rules; an optional field that cannot be used makes a warning " +
			"and counts as missing; an unknown field makes a warning. Objects nest at most 32 deep.",
	}, nil
}

var textLimits = map[string]int{"event.id": 128, "event.type": 128}

var fieldPatterns = map[string]string{
	"card.bin":     "^[0-9]{6,8}$",
	"card.last4":   "^[0-9]{4}$",
	"merchant.mcc": "^[0-9]{4}$",
}

func fieldSchema(f *risk.Field, about string) object {
	s := object{"description": about, "x-sluice-class": [...]string{risk.Plain: "plain", risk.Identifier: "identifier", risk.Personal: "personal"}[f.Class]}
	switch f.Kind {
	case risk.Text, risk.Free:
		s["type"], s["maxLength"] = "string", risk.MaxText
		if n := textLimits[f.Path]; n > 0 {
			s["maxLength"], s["minLength"] = n, 1
		}
		if p := fieldPatterns[f.Path]; p != "" {
			s["pattern"] = p
			delete(s, "maxLength")
		}
		if f.Path == "label.kind" {
			s["enum"] = []string{"fraud", "early_warning", "chargeback", "genuine", "other"}
			delete(s, "maxLength")
		}
	case risk.Country:
		s["type"], s["pattern"] = "string", "^[A-Z]{2}$"
	case risk.Decimal:
		s["type"] = "number"
	case risk.Bool:
		s["type"] = "boolean"
	case risk.Instant:
		s["type"], s["format"] = "string", "date-time"
		if strings.HasSuffix(f.Path, ".birth_date") || strings.HasSuffix(f.Path, ".created") {
			delete(s, "format")
			s["anyOf"] = []object{{"format": "date-time"}, {"format": "date"}}
		}
	}
	return s
}

func amountSchema(about string) object { return textSchema(about, "^-?[0-9]{1,15}(\\.[0-9]+)?$") }

func textSchema(about, pattern string) object {
	s := object{"type": "string", "description": about}
	if pattern != "" {
		s["pattern"] = pattern
	}
	return s
}

func typed(kind, about string) object { return object{"type": kind, "description": about} }

func listOf(most int, about string, properties object) object {
	s := object{"type": "array", "description": about, "items": object{"type": "object", "properties": properties}}
	if most > 0 {
		s["maxItems"] = most
	}
	return s
}

// moreFields are those that are not one scalar.
func moreFields() object {
	currency := func() object { return textSchema("ISO 4217 code in capitals.", "^[A-Z]{3}$") }
	return object{
		"amount": object{"type": "object", "description": "What is to be paid.", "required": []string{"value", "currency"},
			"properties": object{"value": amountSchema("Decimal in major units, with at most the currency's decimals: \"12.30\". At most 15 digits."), "currency": currency()}},
		"settlement.amount":   amountSchema("What is settled, a decimal in major units."),
		"settlement.currency": currency(),
		"card.number": object{"type": "string", "description": "Taken only where the server replaces card numbers at intake: kept are a keyed token, BIN and last four digits. Elsewhere the event is refused.",
			"x-sluice-class": "personal", "writeOnly": true},
		"kyc.documents": listOf(risk.MaxDocuments, "Documents seen; the first 32 are kept.", object{
			"kind": textSchema("Such as passport, id_card, utility_bill.", ""), "expires": object{"type": "string", "description": "Last day of validity.", "anyOf": []object{{"format": "date"}, {"format": "date-time"}}}}),
		"kyc.owners": listOf(risk.MaxOwners, "Beneficial owners; the first 32 are kept.", object{
			"id": textSchema("Id of the owner.", ""), "name": textSchema("Name of the owner.", ""), "share": object{"type": "number", "minimum": 0, "maximum": 1, "description": "Part held, 0 to 1."}}),
		"order.items": listOf(risk.MaxItems, "What is bought; the first 64 are kept.", object{
			"sku": textSchema("Article number.", ""), "name": textSchema("Article.", ""), "category": textSchema("Kind of article.", ""),
			"quantity": typed("number", "How many."), "price": amountSchema("Of one, a decimal in the event's currency.")}),
		"custom": object{"type": "object", "description": "Fields of your own, with types declared in the ruleset. At most 32.", "maxProperties": risk.MaxCustom,
			"propertyNames": object{"pattern": "^[A-Za-z][A-Za-z0-9_]{0,63}$"}, "additionalProperties": object{"type": []string{"string", "number", "boolean"}}},
	}
}

// structure is an object whose members are all there but those named as optional.
func structure(about string, properties object, optional ...string) object {
	var required []string
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if !slices.Contains(optional, name) {
			required = append(required, name)
		}
	}
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if about != "" {
		s["description"] = about
	}
	if required != nil {
		s["required"] = required
	}
	return s
}

func arrayOf(about string, items object) object {
	return object{"type": "array", "description": about, "items": items}
}

// answerSchemas describe what is answered.
func answerSchemas() object {
	text := func(about string) object { return typed("string", about) }
	texts := func(about string) object { return arrayOf(about, object{"type": "string"}) }
	instant := func(about string) object {
		return object{"type": "string", "format": "date-time", "description": about}
	}
	action := func() object {
		return object{"type": "string", "enum": []string{"allow", "review", "block"}, "description": "allow: let it pass. review: hold it until a person has looked. block: refuse it."}
	}
	position := func() object {
		return object{"type": "integer", "minimum": 1, "description": "Place of the event in the one order of all events."}
	}
	scalar := func(about string) object {
		return object{"type": []string{"number", "string", "boolean", "null"}, "description": about}
	}
	decisionID := func() object {
		return textSchema("Id of the decision, the same whenever the event is sent.", "^dec_[a-z2-7]{24}$")
	}
	warnings := arrayOf("Optional fields that could not be used, and fields nobody knows.", ref("Warning"))
	degraded := func() object {
		return arrayOf("Why action is the scenario's fallback and no decision: deadline (the decision will exist: ask again), storage (the event was not kept: send it again).",
			object{"type": "string", "enum": []string{"deadline", "storage"}})
	}
	return object{
		"Warning": structure("", object{"pointer": text("JSON pointer into the event."), "code": text("What is wrong, for programs."), "detail": text("What is wrong, for people.")}),
		"Versions": structure("Content hashes of all that took part.", object{"engine": text(""), "ruleset": text(""), "features": text(""), "lists": text(""),
			"model": text(""), "screening": text(""), "facts": text("")}),
		"Rule": structure("A rule that was true, missed a value, or failed.", object{
			"id": text("Id of the rule."), "stage": object{"type": "string", "enum": []string{"sanctions", "block", "allow", "review", "points"}},
			"mode":   object{"type": "string", "enum": []string{"live", "shadow"}, "description": "A shadow rule is recorded and changes nothing."},
			"result": text("missing(name) or error(cause) of a rule that could not be evaluated."),
			"points": typed("number", "With evidence: points given."), "at": text("File and line of the rule."),
			"because": arrayOf("With evidence: the comparisons that were true.", structure("", object{"left": text(""), "value": scalar("As it was."), "op": text(""),
				"limit": scalar("What it was compared with."), "window": text("Of the feature on the left.")}, "window")),
		}, "result", "points", "because"),
		"Decision": structure("The decision about an event. A member that helps to probe the rules (score, features, partial_since, approximate, awaiting_backfill) is there for keys with scope evidence only. "+
			"A fallback has event, tenant, scenario, action, degraded and, when the decision will exist, id.", object{
			"id": decisionID(), "event": text("Id of the event."), "tenant": text("Tenant of the key."), "scenario": text("What judged it."), "action": action(),
			"score":             object{"type": []string{"number", "null"}, "minimum": 0, "maximum": 1, "description": "Risk, 0 to 1."},
			"reasons":           arrayOf("Why, in words fit for a customer.", structure("", object{"code": text("Reason code."), "text": text("Its public text.")})),
			"rules":             arrayOf("Rules that were met.", ref("Rule")),
			"screening":         arrayOf("Matches with watch lists.", object{"type": "object"}),
			"features":          object{"type": "object", "description": "Value of every feature that has one.", "additionalProperties": object{"type": "number"}},
			"partial_since":     arrayOf("Features whose window begins before they were counted.", structure("", object{"since": instant("Complete from here on."), "features": texts("Their names.")})),
			"approximate":       texts("Features of entities with very many events, whose older ones are added up in stretches of time; absent when there are none."),
			"awaiting_backfill": texts("Features that had no value because a backfill was still learning their past, and formulas that read one; absent when there are none."),
			"advice":            structure("", object{"challenge": typed("boolean", "Whether to ask the payer for a step-up, such as 3-D Secure.")}),
			"hold":              object{"anyOf": []object{structure("The payment is to be kept back.", object{"id": text("Id of the hold."), "expires": instant("When it ends by itself.")}), {"type": "null"}}},
			"versions":          ref("Versions"), "warnings": warnings, "position": position(), "degraded": degraded(),
			"supersedes": structure("The fallback that was answered before this decision existed.", object{"action": action(),
				"degraded": degraded(), "at": instant("When it was answered.")}),
		}, "id", "score", "reasons", "rules", "screening", "features", "partial_since", "approximate", "awaiting_backfill", "advice", "hold", "versions", "warnings", "position", "degraded", "supersedes"),
		"Outcome": object{"type": "object", "required": []string{"status"}, "description": "What the issuer answered. An unknown field makes a warning.", "properties": object{
			"status": text("Such as captured, declined, expired, refunded."), "decline_code": text("The issuer's reason, ISO 8583 field 39."),
			"avs_result": text("Answer of the address check."), "cvc_result": text("Answer of the card code check."), "three_ds": text("Result of 3-D Secure."),
			"payment_id": text("Id of the payment, where events carry one."),
			"time":       instant("When the issuer answered; by default now."),
			"id":         text("Id of the outcome as an event; needs time. By default it follows from the decision and the content, so that sending it again counts once.")}},
		"Accepted": structure("", object{"event": text("Id of the event."), "position": position(),
			"verdict": object{"type": "string", "enum": []string{"observed", "duplicate"}, "description": "duplicate: it was sent before and counts once."}, "warnings": warnings}, "position"),
		"Replay": object{"type": "object", "required": []string{"records"}, "description": fmt.Sprintf("Records to read again, at most %d.", MaxReplay), "properties": object{
			"records": arrayOf("By partition.", structure("", object{"topic": text("A topic of sources."), "partition": object{"type": "integer", "minimum": 0, "description": "Its number."},
				"offsets": arrayOf("Places in it.", object{"type": "integer", "minimum": 0})}))}},
		"Replayed": structure("", object{"results": arrayOf("In the order in which they were named.", structure("", object{
			"topic": text(""), "partition": typed("integer", ""), "offset": typed("integer", ""),
			"result": object{"type": "string", "enum": resultNames(), "description": resultTexts()},
			"event":  text("Id of the event that it is."), "decision": decisionID(), "position": position(),
			"reason": text("Of refused: as in a dead letter."), "detail": text("Of refused and failed."),
		}, "event", "decision", "position", "reason", "detail"))}),
		"Backfill": structure("", object{"features": arrayOf("Missing until it is complete.", text("Name of a feature.")),
			"formulas": arrayOf("That read one of them, and have no value where they need it.", text("Name of a feature.")), "activation": position(),
			"from": position(), "position": position(), "of": position(), "progress": typed("number", "Share of the journal that is read, 0 to 1; 1 when none runs."),
			"rate": typed("number", "Entries a second."), "seconds_left": typed("integer", "At that rate; left out while it cannot be told."),
			"waits": typed("boolean", "For the remains of an earlier one to be removed.")}, "formulas", "activation", "from", "position", "of", "rate", "seconds_left", "waits"),
		"Health": structure("", object{"status": object{"type": "string", "const": "ok"}}),
		"Readiness": structure("", object{"ready": typed("boolean", "Whether every check is ok."), "checks": object{"type": "object",
			"additionalProperties": structure("", object{"ok": typed("boolean", ""), "detail": text("")})}}),
		"Version": structure("", object{"version": text("Of the program."), "engine": text("Of what decisions mean."), "release": text("SHA-256 of the active release."), "go": text("Compiler.")}),
		"Problem": structure("A problem document, RFC 9457.", object{
			"type": text("What kind of problem, for programs."), "title": text("What kind of problem, for people."), "status": typed("integer", "The HTTP status."),
			"detail": text("What is wrong here."), "instance": text("This occurrence."), "trace_id": text("The caller's trace id, else a random one; the log has it too."),
			"errors": arrayOf("Where it is wrong.", structure("", object{"pointer": text("JSON pointer into the body."), "code": text("What is wrong, for programs."),
				"detail": text("What is wrong, for people; never the value."), "hint": text("What would be right.")}, "hint")),
		}, "detail", "errors"),
	}
}

func resultNames() (names []string) {
	for _, r := range replayResults {
		names = append(names, r[0])
	}
	return names
}

func resultTexts() string {
	var texts []string
	for _, r := range replayResults {
		texts = append(texts, r[0]+": "+r[1])
	}
	return strings.Join(texts, "; ") + "."
}
