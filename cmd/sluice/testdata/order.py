"""Features of a stream in the order of time, by DuckDB, against those of a replay.

    python order.py EVENTS.csv FEATURES.csv

prints `feature,wrong` for each feature, and `rows,wrong`: events with at least one.
EVENTS has id,t (milliseconds),card,device,merchant,cents; no two have the same t.
"""
import sys
import duckdb

MINUTE, HOUR = 60_000, 3_600_000


def window(by, length, exclude=False):
    # (t - length, t], so the frame begins one millisecond later.
    rest = " EXCLUDE CURRENT ROW" if exclude else ""
    return f"OVER (PARTITION BY {by} ORDER BY t RANGE BETWEEN {length - 1} PRECEDING AND CURRENT ROW{rest})"


FEATURES = {
    "card_count_10m": f"count(*) {window('card', 10 * MINUTE)}",
    "card_sum_24h": f"sum(cents) {window('card', 24 * HOUR)}",
    "device_count_1h": f"count(*) {window('device', HOUR)}",
    "device_cards_24h": f"count(DISTINCT card) {window('device', 24 * HOUR)}",
    "device_since_last": "(t - lag(t) OVER (PARTITION BY device ORDER BY t))",
    "merchant_count_10m": f"count(*) {window('merchant', 10 * MINUTE)}",
    "merchant_avg_6h": f"avg(cents) {window('merchant', 6 * HOUR)}",
    "merchant_max_6h": f"max(cents) {window('merchant', 6 * HOUR)}",
    "pair_count_48h": f"count(*) {window('card, merchant', 48 * HOUR, exclude=True)}",
}
# Ours are in major units and seconds.
SCALE = {"card_sum_24h": 100, "merchant_max_6h": 100, "merchant_avg_6h": 100, "device_since_last": 1000}

db = duckdb.connect()
db.execute("CREATE TABLE events AS SELECT * FROM read_csv(?, header=true, all_varchar=false)", [sys.argv[1]])
db.execute("CREATE TABLE ours AS SELECT * FROM read_csv(?, header=true, all_varchar=true)", [sys.argv[2]])
columns = ", ".join(f"{sql} AS {name}" for name, sql in FEATURES.items())
db.execute(f"CREATE TABLE truth AS SELECT id, {columns} FROM events")


def differs(name):
    got = f"(TRY_CAST(nullif(ours.{name}, '') AS DOUBLE) * {SCALE.get(name, 1)})"
    # A mean is a quotient; all else is whole, in cents and milliseconds.
    got = f"round({got}, 6)" if name == "merchant_avg_6h" else f"round({got}, 3)"
    want = f"round(CAST(truth.{name} AS DOUBLE), 6)"
    return f"({got} IS DISTINCT FROM {want})"


joined = "FROM truth FULL JOIN ours ON truth.id = ours.event_id"
for name in FEATURES:
    wrong = db.execute(f"SELECT count(*) FILTER ({differs(name)}) {joined}").fetchone()[0]
    print(f"{name},{wrong}")
print("rows,%d" % db.execute(f"SELECT count(*) FILTER ({' OR '.join(differs(n) for n in FEATURES)}) {joined}").fetchone()[0])
print("events,%d" % db.execute(f"SELECT count(*) {joined}").fetchone()[0])
