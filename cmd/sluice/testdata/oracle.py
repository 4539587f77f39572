"""Every feature of every event of a replay, computed by DuckDB, against what the replay wrote.

    python oracle.py order|late EVENTS.jsonl FEATURES.csv

order: events come in the order of their time. Windows are SQL window functions.
late:  some come later than others that happened after them, and some twice. Every event is
       joined with those before it, by position and by time, as docs/features.md has it.

Prints `feature,compared,wrong` for each feature and `rows,compared,wrong` in the end.
"""
import sys
import duckdb

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
LATENESS, HORIZON = 25 * HOUR, 180 * DAY  # the defaults of features.yaml
NEVER = 10_000 * DAY

mode, events, features = sys.argv[1:]
db = duckdb.connect()
db.execute("SET preserve_insertion_order = true")


class Feature:
    """One feature: whose events are counted and for whom, which of them, and what is made of them.

    make is an aggregate over columns of `o`, the counted events; {f} stands behind every aggregate
    and says which of them it is over. A result that is a quotient of integers is written as a pair:
    the two are divided once, as the engine does.
    """

    def __init__(self, observe, make, window=NEVER, *, read=None, delay=0, where="true", events=None, of=None, exclude=False, over=None, nothing=None):
        self.observe, self.read = (observe if isinstance(observe, list) else [observe]), read or observe
        self.make, self.over, self.window, self.delay, self.exclude, self.nothing = make, over, window, delay, exclude, nothing
        types = f"type IN ({', '.join(repr(e) for e in events)})" if events else "type <> 'label'"
        self.counts = f"({types} AND ({where})" + (f" AND {of} IS NOT NULL)" if of else ")")


def count(observe, *args, **kw):
    return Feature(observe, "count(*) {f}", *args, nothing=0, **kw)


def total(observe, of, *args, **kw):
    return Feature(observe, f"sum({of}) {{f}}", *args, of=of, over="10000", nothing=0, **kw)


def mean(observe, of, *args, scale="10000", **kw):
    return Feature(observe, f"sum({of}) {{f}}", *args, of=of, over=f"({scale} * count(*) {{f}})", **kw)


def distinct(observe, of, *args, **kw):
    return Feature(observe, f"count(DISTINCT {of}) {{f}}", *args, of=of, nothing=0, **kw)


def pick(how, observe, of, *args, **kw):
    return Feature(observe, f"{how} {{f}}".format(of=of, f="{f}"), *args, of=of, over="10000", **kw)


AUTHORIZATION = ["payment.authorization"]
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
}

# What the events say, in the order in which they came; a second one with an id is the first one again.
db.execute("""
CREATE TABLE raw AS SELECT row_number() OVER () AS pos, * FROM read_json(?, format = 'newline_delimited', columns = {
    arrival: 'TIMESTAMP', event: 'STRUCT(id VARCHAR, "type" VARCHAR, "time" TIMESTAMP)', amount: 'STRUCT("value" VARCHAR, currency VARCHAR)',
    payment: 'STRUCT(status VARCHAR)', customer: 'STRUCT(id VARCHAR)', card: 'STRUCT(token VARCHAR, country VARCHAR)', device: 'STRUCT(id VARCHAR)',
    merchant: 'STRUCT(id VARCHAR)', sender: 'STRUCT(id VARCHAR, account VARCHAR)', receiver: 'STRUCT(account VARCHAR)',
    "label": 'STRUCT(event VARCHAR, kind VARCHAR, reason VARCHAR)'})""", [events])
db.execute("""
CREATE TABLE once AS SELECT pos, event.id AS id, event.type AS type, least(epoch_ms(event.time), epoch_ms(arrival) + 5 * 60000) AS ts,
    (amount.value::DECIMAL(18, 4) * 10000)::BIGINT AS value, CASE WHEN amount.currency = 'USD' THEN value END AS base, payment.status AS status,
    customer.id AS customer, card.token AS card, card.country AS card_country, device.id AS device, merchant.id AS merchant,
    sender.account AS sender, receiver.account AS receiver, sender.id || chr(0) || receiver.account AS payee,
    label.event AS named, CASE WHEN type = 'chargeback' THEN 'chargeback' ELSE label.kind END AS kind,
    CASE WHEN kind IN ('fraud', 'early_warning') OR kind = 'chargeback' AND label.reason = 'fraud' THEN 1 WHEN kind = 'genuine' THEN 0 END AS fraud
FROM raw QUALIFY row_number() OVER (PARTITION BY event.id ORDER BY pos) = 1""")
# The watermark is the newest time that came before; too late is not counted, and read as of the oldest instant kept.
db.execute(f"""
CREATE TABLE timed AS SELECT *, max(ts) OVER (ORDER BY pos) - {LATENESS} AS floor, ts < floor AS too_late, greatest(ts, floor) AS now,
    ts * 1000000 + pos AS ord FROM once""")
# A label counts for the entities of the event that it names, the first of its kind; a second one, when it is no chargeback, for none.
KEYS = ["customer", "card", "device", "merchant", "sender", "receiver", "payee"]
db.execute(f"""
CREATE TABLE labels AS SELECT l.pos, l.type = 'label' AND row_number() OVER w > 1 AS repeated, row_number() OVER w = 1 AS counts,
    {', '.join(f'e.{k}' for k in KEYS)}
FROM timed l JOIN timed e ON l.named = e.id AND e.pos < l.pos AND l.floor + {LATENESS} - e.ts <= {HORIZON}
WHERE l.type IN ('label', 'chargeback') WINDOW w AS (PARTITION BY e.id, l.kind ORDER BY l.pos)""")


def entity(key, what):
    """The events that touch an entity, by a key of their own or of the event that they name."""
    own = f"SELECT {key} AS k, {what} FROM timed WHERE {key} IS NOT NULL"
    if what == "pos, now":
        return f"{own} UNION ALL SELECT l.{key}, t.pos, t.now FROM labels l JOIN timed t USING (pos) WHERE l.counts AND l.{key} IS NOT NULL AND t.{key} IS NULL"
    columns = ", ".join(f"t.{c.strip()}" for c in what.split(","))
    return f"""{own} AND NOT too_late AND pos NOT IN (SELECT pos FROM labels WHERE repeated) UNION
        SELECT l.{key}, {columns} FROM labels l JOIN timed t USING (pos) WHERE l.counts AND l.{key} IS NOT NULL AND NOT t.too_late"""


OBSERVED = "pos, ts, ord, type, value, base, status, card_country, device, fraud"


def both(f):
    observed = " UNION ".join(entity(k, OBSERVED) for k in f.observe)
    return observed, entity(f.read, "pos, now")


def by_join(group):
    """Features of the same two roles, over one join."""
    observed, read = both(group[0][1])
    reach = max(f.window + f.delay for _, f in group)
    columns = []
    for name, f in group:
        f_ = f"FILTER (o.pos IS NOT NULL AND o.ts > now - {f.window + f.delay} AND o.ts <= now - {f.delay} AND {'o.pos < r.pos' if f.exclude else 'true'} AND {f.counts})"
        columns.append(f"{f.make.format(f=f_)} AS n{name}, {(f.over or '1').format(f=f_)} AS d{name}")
    return f"""WITH o AS ({observed}), r AS ({read})
        SELECT r.pos, {', '.join(columns)} FROM r LEFT JOIN (SELECT * FROM o WHERE {' OR '.join(f.counts for _, f in group)}) o ON o.k = r.k AND o.ts > r.now - {reach} AND o.ts <= r.now AND o.pos <= r.pos GROUP BY r.pos"""


def by_window(group):
    """The same by window functions: counted and reading events in one order, in which time and position are one number."""
    observed, read = both(group[0][1])
    columns = []
    for name, f in group:
        # (t - window - delay, t - delay], in millionths of a millisecond, in which the position stands.
        first = f"({(f.window + f.delay - 1) * 1000000} + pos)"
        last = f"({(f.delay - 1) * 1000000} + pos + 1) PRECEDING" if f.delay else "1 PRECEDING" if f.exclude else "CURRENT ROW"
        f_ = f"FILTER (counted AND {f.counts}) OVER (PARTITION BY k ORDER BY ord RANGE BETWEEN {first} PRECEDING AND {last})"
        make, over = (f.make, f.over or "1")
        columns.append(f"{make.replace('any_value(now)', 'now').format(f=f_)} AS n{name}, {over.format(f=f_)} AS d{name}")
    return f"""WITH o AS ({observed}), r AS ({read}),
        rows AS (SELECT true AS counted, ts AS now, * FROM o UNION ALL BY NAME SELECT false AS counted, k, pos, now, now * 1000000 + pos AS ord FROM r),
        values AS (SELECT pos, counted, {', '.join(columns)} FROM rows)
        SELECT * EXCLUDE (counted) FROM values WHERE NOT counted"""


groups = {}
for name, f in FEATURES.items():
    # A join pays for its longest window, so features of about the same reach share one; a sort serves all.
    reach = next(i for i, most in enumerate([HOUR, DAY, 9 * DAY, NEVER]) if f.window + f.delay <= most) if mode == "late" else 0
    groups.setdefault((tuple(f.observe), f.read, reach), []).append((name, f))
db.execute("CREATE TABLE truth AS SELECT pos, id FROM timed")
db.execute("CREATE TABLE ours AS SELECT * FROM read_csv(?, header = true, all_varchar = true)", [features])
header = [c[0] for c in db.execute("SELECT * FROM ours LIMIT 0").description]
if [h for h in header if h in FEATURES] != list(FEATURES) or header[0] != "event_id":
    sys.exit(f"the replay wrote other features than are computed here: {header}")

compared, rows = {}, []
for group in groups.values():
    table = "g_" + group[0][0]
    db.execute(f"CREATE TABLE {table} AS {(by_window if mode == 'order' else by_join)(group)}")
    for name, f in group:
        # Where both have at most 53 bits one division in float64 is right; Python divides the others.
        big = db.execute(f"SELECT pos, n{name}, d{name} FROM {table} WHERE abs(n{name}) >= {1 << 53} OR d{name} >= {1 << 53}").fetchall()
        db.execute("CREATE OR REPLACE TABLE big (pos BIGINT, v DOUBLE)")
        if big:
            db.executemany("INSERT INTO big VALUES (?, ?)", [(p, int(n) / int(d)) for p, n, d in big])
        nothing = "NULL" if f.nothing is None else f.nothing
        wrong = f"""CREATE TABLE w_{name} AS SELECT truth.pos, truth.id, nullif(ours.{name}, '')::DOUBLE AS got,
            CASE WHEN g.pos IS NULL THEN NULL ELSE coalesce(big.v, n{name}::DOUBLE / d{name}::DOUBLE, {nothing}) END AS want
            FROM truth FULL JOIN ours ON truth.id = ours.event_id LEFT JOIN {table} g ON g.pos = truth.pos LEFT JOIN big ON big.pos = truth.pos"""
        db.execute(wrong)
        n, bad = db.execute(f"SELECT count(*), count(*) FILTER (got IS DISTINCT FROM want OR pos IS NULL) FROM w_{name}").fetchone()
        compared[name] = n, bad
        for row in db.execute(f"SELECT * FROM w_{name} WHERE got IS DISTINCT FROM want OR pos IS NULL ORDER BY pos LIMIT 3").fetchall():
            print(f"{name}: position {row[0]}, event {row[1]}: {row[2]}, DuckDB {row[3]}", file=sys.stderr)
for name in FEATURES:
    print(f"{name},{compared[name][0]},{compared[name][1]}")
bad = " UNION ".join(f"SELECT pos FROM w_{name} WHERE got IS DISTINCT FROM want OR pos IS NULL" for name in FEATURES)
print("rows,%d,%d" % (compared[next(iter(FEATURES))][0], db.execute(f"SELECT count(*) FROM ({bad})").fetchone()[0]))
