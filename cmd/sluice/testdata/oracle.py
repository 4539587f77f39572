"""Every feature of every event of a replay, computed by DuckDB, against what the replay wrote.

    python oracle.py order|late EVENTS.jsonl FEATURES

order: events come in the order of their time. Windows are SQL window functions.
late:  some come later than others that happened after them, and some twice. Every event is
       joined with those before it, by position and by time, as docs/features.md has it.

Prints `feature,compared,wrong` for each feature and `rows,compared,wrong` in the end. Values are
compared bit by bit: what is counted and added up is integers here and there; of what is divided
or has a root drawn there is one division and one root, each rounded once, here and there.
Kilometres come from the same haversine formula with the same radius, but with the sines of the
C library here and those of a series there, whose last bits differ: distance and speed may be one
part in 10^9 off, 1 mm below a kilometre. What is within so many kilometres is a count, and exact.
"""
import math
import os
import re
import sys
import tempfile
from decimal import Decimal, getcontext

import duckdb

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
LATENESS, HORIZON = 25 * HOUR, 180 * DAY  # the defaults of features.yaml
NEVER = 10_000 * DAY
EXACT = 1 << 53  # integers up to here are float64
NEAR = "1e-9 * greatest(1, abs(want.{0}))"  # what kilometres may differ by

mode, events, features = sys.argv[1:]
db = duckdb.connect()
db.execute("SET preserve_insertion_order = true")


class Feature:
    """One feature: whose events are counted and for whom, which of them, and what is made of them.

    make is SQL over the counted events; {f} stands behind every aggregate and says which of them it
    is over. Two texts: the first over a join, the second over a window. over divides it, in float64
    when both are exact there, else in Python; root is drawn in Python. own is the event's own value
    that it is compared with, without which it is missing. near allows for other sines.
    """

    def __init__(self, observe, make, window=NEVER, *, read=None, delay=0, where="true", events=None, of=None, exclude=False,
                 over="1", nothing=None, own=None, least=0, root=False, near=False):
        self.observe, self.read = (observe if isinstance(observe, list) else [observe]), read or observe
        self.window, self.delay, self.exclude, self.nothing, self.over, self.root, self.near = window, delay, exclude or own and own[1], nothing, over, root, near
        types = f"type IN ({', '.join(repr(e) for e in events)})" if events else "type <> 'label'"
        self.counts = f"({types} AND ({where})" + (f" AND {of} IS NOT NULL)" if of else ")")
        self.make = []
        for text in make if isinstance(make, tuple) else (make, make):
            if own:
                text = f"CASE WHEN any_value(own_{own[0]}) IS NOT NULL THEN {text} END"
            if least:
                text = f"CASE WHEN count(*) {{f}} >= {least} THEN {text} END"
            self.make.append(text)


def count(observe, *args, **kw):
    return Feature(observe, "count(*) {f}", *args, nothing=0, **kw)


def total(observe, of, *args, **kw):
    return Feature(observe, f"sum({of}) {{f}}", *args, of=of, over="10000", nothing=0, **kw)


def mean(observe, of, *args, scale="10000", **kw):
    return Feature(observe, f"sum({of}) {{f}}", *args, of=of, over=f"({scale} * count(*) {{f}})", **kw)


def distinct(observe, of, *args, **kw):
    return Feature(observe, f"count(DISTINCT {of}) {{f}}", *args, of=of, nothing=0, **kw)


def pick(how, observe, of, *args, **kw):
    return Feature(observe, how.format(of=of) + " {f}", *args, of=of, over="10000", **kw)


def both(newest):
    """The same over the counted events in their order, the newest first: a list of {of}."""
    return newest.replace("LIST", "list({of} ORDER BY ord DESC) {f}"), newest.replace("LIST", "list_reverse(list({of}) {f})")


def benford():
    getcontext().prec = 50
    parts, n = [], "(count(*) {f})::DOUBLE"
    for d in range(1, 10):
        expected = f"({n} * {float((1 + 1 / Decimal(d)).log10())!r}::DOUBLE)"
        off = f"((count(*) {{f AND digit = {d}}})::DOUBLE - {expected})"
        parts.append(f"{off} * {off} / {expected}")
    return " + ".join(parts)


# From the place of the newest event to one's own; a place is a list of degrees, and km a macro.
moved = "km(arg_max(place, ord) {f}, any_value(own_place))"
AUTHORIZATION = ["payment.authorization"]
run = both("coalesce(nullif(list_position(LIST, false), 0) - 1, count(*) {f})")
last3 = both("list_sum(LIST[1:3])"), both("10000 * len(LIST[1:3])")
# Amounts are integers of 1/10000: `value` in the event's own currency, `base` in US dollars.
FEATURES = {
    "customer_events_24h": count("customer", 24 * HOUR),
    "customer_before_7d": count("customer", 7 * DAY, delay=DAY, events=AUTHORIZATION),
    "customer_value_24h": total("customer", "value", 24 * HOUR, events=AUTHORIZATION + ["transfer"]),
    "customer_devices_7d": distinct("customer", "device", 7 * DAY),
    "customer_pause": Feature("customer", "any_value(now) - max(ts) {f}", over="1000", exclude=True),
    "card_avg_7d": mean("card", "value", 7 * DAY, events=AUTHORIZATION, exclude=True),
    "card_max_90d": pick("max({of})", "card", "base", 90 * DAY),
    "card_declined_1h": count("card", HOUR, events=["payment.outcome"], where="status = 'declined'"),
    "device_min_24h": pick("min({of})", "device", "value", 24 * HOUR),
    "device_last_base": pick("arg_max({of}, ord)", "device", "base", 3 * DAY),
    "merchant_base_1h": total("merchant", "base", HOUR, events=AUTHORIZATION),
    "merchant_issuers_6h": distinct("merchant", "card_country", 6 * HOUR, events=AUTHORIZATION),
    "merchant_fraud_7d": mean("merchant", "fraud", 7 * DAY, events=["label", "chargeback"], scale="1"),
    "customer_reports": count("customer", events=["label", "chargeback"]),
    "payee_payments": count("payee"),
    "account_in_24h": total("receiver", "value", 24 * HOUR, read="sender"),
    "account_touched_7d": count(["sender", "receiver"], 7 * DAY, read="receiver"),
    "card_spread_7d": Feature("card", "count(*) {f} * sum(base::HUGEINT * base) {f} - (sum(base) {f})::HUGEINT * sum(base) {f}", 7 * DAY, of="base",
                              events=AUTHORIZATION, over="(10000 * count(*) {f})::HUGEINT * (10000 * count(*) {f})", least=2, root=True),
    "customer_median_7d": pick("quantile_disc({of}, 0.5)", "customer", "value", 7 * DAY, events=AUTHORIZATION),
    "merchant_p90_6h": pick("quantile_disc({of}, 0.9)", "merchant", "base", 6 * HOUR, delay=10 * MINUTE),
    "customer_first_24h": pick("arg_min({of}, ord)", "customer", "value", 24 * HOUR),
    "customer_age": Feature("customer", "any_value(now) - min(ts) {f}", events=["account.created"], over="1000"),
    "customer_device_seen": Feature("customer", ("least(count(*) {f AND device = own_device}, 1)", "coalesce(list_contains(list(device) {f}, own_device), false)::INT"),
                                    7 * DAY, of="device", own=("device", True)),
    "customer_share_7d": Feature("customer", "list_max(map_values(histogram(merchant) {f}))", 7 * DAY, of="merchant", events=AUTHORIZATION, over="count(*) {f}", least=3),
    "card_similar_24h": Feature("card", ("count(*) {f AND abs(base - own_base) <= own_base // 1000 * 100}",  # a tenth, cut to cents
                                         "coalesce(len(list_filter(list(base) {f}, lambda x: abs(x - own_base) <= own_base // 1000 * 100)), 0)"),
                                24 * HOUR, of="base", events=AUTHORIZATION, own=("base", False)),
    "card_declines": Feature("card", tuple(t.replace("{of}", "coalesce(status = 'declined', false)") for t in run), 24 * HOUR, events=["payment.outcome"]),
    "card_last3": Feature("card", tuple(t.replace("{of}", "value") for t in last3[0]), of="value", events=AUTHORIZATION,
                          over=tuple(t.replace("{of}", "value") for t in last3[1])),
    "customer_channel": Feature("customer", "levenshtein(arg_max(channel, ord) {f}, any_value(own_channel))", 7 * DAY, of="channel", events=AUTHORIZATION, own=("channel", True)),
    "merchant_benford_6h": Feature("merchant", benford(), 6 * HOUR, of="value", events=AUTHORIZATION, least=10),
    "customer_near_7d": Feature("customer", ("count(*) {f AND km(place, own_place) <= 5}", "coalesce(len(list_filter(list(place) {f}, lambda p: km(p, own_place) <= 5)), 0)"),
                                7 * DAY, of="place", events=AUTHORIZATION, own=("place", True)),
    "customer_moved": Feature("customer", moved, 24 * HOUR, of="place", own=("place", True), near=True),
    "card_speed": Feature("card", moved, of="place", own=("place", True), near=True, over="(greatest(any_value(now) - arg_max(ts, ord) {f}, 1000) / 3600000.0)"),
    "account_out_24h": total("sender", "value", 24 * HOUR),
}
# Formulas, over the values of others.
FORMULAS = {"pass_through": "CASE WHEN account_in_24h > 0 THEN account_out_24h / account_in_24h WHEN account_in_24h IS NOT NULL THEN 0 END"}

db.execute("""CREATE MACRO km(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN 2 * 6371.0088 * asin(sqrt(least(1,
    pow(sin(radians(b[1] - a[1]) / 2), 2) + cos(radians(a[1])) * cos(radians(b[1])) * pow(sin(radians(b[2] - a[2]) / 2), 2)))) END""")
# What the events say, in the order in which they came; a second one with an id is the first one again.
db.execute("""
CREATE TABLE raw AS SELECT row_number() OVER () AS pos, * FROM read_json(?, format = 'newline_delimited', columns = {
    arrival: 'TIMESTAMP', event: 'STRUCT(id VARCHAR, "type" VARCHAR, "time" TIMESTAMP)', amount: 'STRUCT("value" VARCHAR, currency VARCHAR)',
    payment: 'STRUCT(status VARCHAR)', customer: 'STRUCT(id VARCHAR)', card: 'STRUCT(token VARCHAR, country VARCHAR)', device: 'STRUCT(id VARCHAR, lat DOUBLE, lon DOUBLE)',
    merchant: 'STRUCT(id VARCHAR)', sender: 'STRUCT(id VARCHAR, account VARCHAR)', receiver: 'STRUCT(account VARCHAR)',
    "label": 'STRUCT(event VARCHAR, kind VARCHAR, reason VARCHAR)', custom: 'STRUCT(channel VARCHAR)'})""", [events])
db.execute("""
CREATE TABLE once AS SELECT pos, event.id AS id, event.type AS type, least(epoch_ms(event.time), epoch_ms(arrival) + 5 * 60000) AS ts,
    (amount.value::DECIMAL(18, 4) * 10000)::BIGINT AS value, left(value::VARCHAR, 1)::INT AS digit, CASE WHEN amount.currency = 'USD' THEN value END AS base,
    payment.status AS status, custom.channel AS channel, CASE WHEN device.lat IS NOT NULL THEN [device.lat, device.lon] END AS place,
    customer.id AS customer, card.token AS card, card.country AS card_country, device.id AS device, merchant.id AS merchant,
    sender.account AS sender, receiver.account AS receiver, sender.id || chr(0) || receiver.account AS payee,
    label.event AS named, CASE WHEN type = 'chargeback' THEN 'chargeback' ELSE label.kind END AS kind,
    CASE WHEN kind IN ('fraud', 'early_warning') OR kind = 'chargeback' AND label.reason = 'fraud' THEN 1 WHEN kind = 'genuine' THEN 0 END AS fraud
FROM raw QUALIFY row_number() OVER (PARTITION BY event.id ORDER BY pos) = 1""")
# The watermark is the newest time that came before; too late is not counted, and read as of the oldest instant kept.
db.execute(f"""
CREATE TABLE timed AS SELECT *, max(ts) OVER (ORDER BY pos) - {LATENESS} AS floor, ts < floor AS too_late, greatest(ts, floor) AS now,
    ts * 1000000 + pos AS ord, base AS own_base, device AS own_device, channel AS own_channel, place AS own_place FROM once""")
# A label counts for the entities of the event that it names, the first of its kind; a second one, when it is no chargeback, for none.
KEYS = ["customer", "card", "device", "merchant", "sender", "receiver", "payee"]
db.execute(f"""
CREATE TABLE labels AS SELECT l.pos, l.type = 'label' AND row_number() OVER w > 1 AS repeated, row_number() OVER w = 1 AS counts,
    {', '.join(f'e.{k}' for k in KEYS)}
FROM timed l JOIN timed e ON l.named = e.id AND e.pos < l.pos AND l.floor + {LATENESS} - e.ts <= {HORIZON}
WHERE l.type IN ('label', 'chargeback') WINDOW w AS (PARTITION BY e.id, l.kind ORDER BY l.pos)""")

OBSERVED = "pos, ts, ord, type, value, digit, base, status, channel, place, card_country, device, merchant, fraud"
READ = "pos, now, own_base, own_device, own_channel, own_place"


def entity(key, what):
    """The events that touch an entity, by a key of their own or of the event that they name."""
    own = f"SELECT {key} AS k, {what} FROM timed WHERE {key} IS NOT NULL"
    columns = ", ".join(f"t.{c.strip()}" for c in what.split(","))
    named = f"SELECT l.{key}, {columns} FROM labels l JOIN timed t USING (pos) WHERE l.counts AND l.{key} IS NOT NULL"
    if what is READ:
        return f"{own} UNION ALL {named} AND t.{key} IS NULL"
    return f"{own} AND NOT too_late AND pos NOT IN (SELECT pos FROM labels WHERE repeated) UNION {named} AND NOT t.too_late"


def filled(text, condition, rest=""):
    """text with every {f} and {f AND more} made a filter."""
    return re.sub(r"\{f(.*?)\}", lambda m: f"FILTER ({condition}{m[1]}){rest}", text)


def sides(f, i):
    return f.make[i], f.over[i] if isinstance(f.over, tuple) else f.over


def by_join(group):
    """Features of the same two roles, over one join."""
    f = group[0][1]
    reach = max(f.window + f.delay for _, f in group)
    columns = []
    for name, f in group:
        condition = f"o.pos IS NOT NULL AND o.ts > now - {f.window + f.delay} AND o.ts <= now - {f.delay} AND {'o.pos < r.pos' if f.exclude else 'true'} AND {f.counts}"
        make, over = sides(f, 0)
        columns.append(f"{filled(make, condition)} AS n{name}, {filled(over, condition)} AS d{name}")
    return f"""WITH o AS ({" UNION ".join(entity(k, OBSERVED) for k in f.observe)}), r AS ({entity(f.read, READ)})
        SELECT r.pos, {', '.join(columns)} FROM r LEFT JOIN (SELECT * FROM o WHERE {' OR '.join(f.counts for _, f in group)}) o
        ON o.k = r.k AND o.ts > r.now - {reach} AND o.ts <= r.now AND o.pos <= r.pos GROUP BY r.pos"""


def by_window(group):
    """The same by window functions: counted and reading events in one order, in which time and position are one number."""
    f = group[0][1]
    columns = []
    for name, f in group:
        # (t - window - delay, t - delay], in millionths of a millisecond, in which the position stands.
        first = f"({(f.window + f.delay - 1) * 1000000} + pos)"
        last = f"({(f.delay - 1) * 1000000} + pos + 1) PRECEDING" if f.delay else "1 PRECEDING" if f.exclude else "CURRENT ROW"
        frame = f" OVER (PARTITION BY k ORDER BY ord RANGE BETWEEN {first} PRECEDING AND {last})"
        make, over = (re.sub(r"any_value\((\w+)\)", r"\1", filled(text, f"counted AND {f.counts}", frame)) for text in sides(f, 1))
        columns.append(f"{make} AS n{name}, {over} AS d{name}")
    return f"""WITH o AS ({" UNION ".join(entity(k, OBSERVED) for k in f.observe)}), r AS ({entity(f.read, READ)}),
        rows AS (SELECT true AS counted, ts AS now, * FROM o UNION ALL BY NAME SELECT false AS counted, now * 1000000 + pos AS ord, * FROM r),
        values AS (SELECT pos, counted, {', '.join(columns)} FROM rows)
        SELECT * EXCLUDE (counted) FROM values WHERE NOT counted"""


def in_python(table, name, f):
    """Quotients that float64 cannot be trusted with, and roots, in a table of their own."""
    needed = f"n{name} IS NOT NULL" if f.root else f"abs(n{name}) >= {EXACT} OR d{name} >= {EXACT}"
    db.execute("CREATE OR REPLACE TABLE python (pos BIGINT, v DOUBLE)")
    rows = db.execute(f"SELECT pos, n{name}, d{name} FROM {table} WHERE {needed}").fetchall()
    if not rows:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False) as out:
        for pos, n, d in rows:
            v = int(n) / int(d)  # of integers, so rounded once
            out.write(f"{pos},{(math.sqrt(v) if f.root else v)!r}\n")
    db.execute("INSERT INTO python SELECT * FROM read_csv(?, header = false, columns = {pos: 'BIGINT', v: 'DOUBLE'})", [out.name])
    os.unlink(out.name)


groups = {}
for name, f in FEATURES.items():
    # A join pays for its longest window, so features of about the same reach share one; a sort serves all.
    reach = next(i for i, most in enumerate([HOUR, DAY, 9 * DAY, NEVER]) if f.window + f.delay <= most) if mode == "late" else 0
    groups.setdefault((tuple(f.observe), f.read, reach), []).append((name, f))
db.execute("CREATE TABLE truth AS SELECT pos, id FROM timed")
db.execute("CREATE TABLE ours AS SELECT * FROM " + ("read_parquet(?)" if features.endswith(".parquet") else "read_csv(?, header = true, all_varchar = true)"), [features])
header = [c[0] for c in db.execute("SELECT * FROM ours LIMIT 0").description][9:]
if header != list(FEATURES) + list(FORMULAS):
    sys.exit(f"the replay wrote other features than are computed here: {header}")
db.execute("CREATE TABLE wanted AS SELECT pos, id FROM timed")
parts = []
for i, group in enumerate(groups.values()):
    db.execute(f"CREATE TABLE g{i} AS {(by_window if mode == 'order' else by_join)(group)}")
    for name, f in group:
        in_python(f"g{i}", name, f)
        quotient = f"n{name}::DOUBLE / d{name}::DOUBLE" if not f.root else "NULL"
        db.execute(f"""CREATE TABLE v_{name} AS SELECT g.pos, coalesce(python.v, {quotient}, {'NULL' if f.nothing is None else f.nothing}) AS {name}
            FROM g{i} g LEFT JOIN python ON python.pos = g.pos""")
    db.execute(f"DROP TABLE g{i}")
want = "SELECT timed.pos, id, " + ", ".join(FEATURES) + " FROM timed " + " ".join(f"LEFT JOIN v_{name} ON v_{name}.pos = timed.pos" for name in FEATURES)
formulas = ", ".join(f"{sql} AS {name}" for name, sql in FORMULAS.items())
names = list(FEATURES) + list(FORMULAS)
off = {name: NEAR.format(name) if name in FEATURES and FEATURES[name].near else "0" for name in names}
differ = {name: f"(coalesce(abs(ours.{name}::DOUBLE - want.{name}::DOUBLE) > {off[name]}, (ours.{name} IS NULL) <> (want.{name} IS NULL)) OR ours.event_id IS NULL OR want.id IS NULL)" for name in names}
db.execute(f"""CREATE TABLE compared AS SELECT want.pos, coalesce(want.id, ours.event_id) AS id,
    {', '.join(f"ours.{n}::DOUBLE AS ours_{n}, want.{n}::DOUBLE AS want_{n}, {differ[n]} AS wrong_{n}" for n in names)}
    FROM (SELECT *, {formulas} FROM ({want})) want FULL JOIN ours ON want.id = ours.event_id""")
rows = db.execute("SELECT count(*) FROM compared").fetchone()[0]
for name in names:
    print(f"{name},{rows},{db.execute(f'SELECT count(*) FILTER (wrong_{name}) FROM compared').fetchone()[0]}")
    for row in db.execute(f"SELECT pos, id, ours_{name}, want_{name} FROM compared WHERE wrong_{name} ORDER BY pos LIMIT 3").fetchall():
        print(f"{name}: position {row[0]}, event {row[1]}: {row[2]!r}, DuckDB {row[3]!r}", file=sys.stderr)
print("rows,%d,%d" % (rows, db.execute(f"SELECT count(*) FILTER ({' OR '.join('wrong_' + n for n in names)}) FROM compared").fetchone()[0]))
