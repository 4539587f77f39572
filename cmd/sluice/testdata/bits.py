"""What DuckDB reads of a file of features, bit by bit.

    python bits.py FILE...

prints for each file `rows,sha256`: of every row, in the order of positions, the position and every
feature as 8 bytes, little endian; missing is 01 00 00 00 00 00 f8 7f.
"""
import hashlib
import struct
import sys
import duckdb

OWN = ["event_id", "tenant", "type", "time", "position", "scenario", "action", "partial", "approximate"]
db = duckdb.connect()
for name in sys.argv[1:]:
    source = f"read_parquet('{name}')" if name.endswith(".parquet") else f"read_csv('{name}', header = true, all_varchar = true)"
    columns = [c[0] for c in db.execute(f"SELECT * FROM {source} LIMIT 0").description]
    if columns[:len(OWN)] != OWN:
        sys.exit(f"{name} begins with the columns {columns[:len(OWN)]}")
    values = ", ".join(f'"{c}"::DOUBLE' for c in columns[len(OWN):])
    rows = db.execute(f"SELECT position::BIGINT, {values} FROM {source} ORDER BY 1").fetchall()
    total = hashlib.sha256()
    for row in rows:
        total.update(struct.pack("<q", row[0]))
        for v in row[1:]:
            total.update(b"\x01\x00\x00\x00\x00\x00\xf8\x7f" if v is None else struct.pack("<d", v))
    print(f"{len(rows)},{total.hexdigest()}")
