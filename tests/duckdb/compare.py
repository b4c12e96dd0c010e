"""Compares what DuckDB makes of the archive in a data directory with the books beside it: tests/duckdb/run calls it."""

import datetime
import glob
import os
import sqlite3
import sys

import duckdb


def of_books(data):
    db = sqlite3.connect(f"file:{data}/books.sqlite?mode=ro", uri=True)
    (following,) = db.execute("SELECT value FROM meta WHERE key = 'next_offset'").fetchone()
    rows = db.execute("SELECT c.id, d.day, d.spent, d.late, d.billed FROM days d JOIN campaigns c USING (no)")
    first = datetime.date(1970, 1, 1)
    return following, {(no, str(first + datetime.timedelta(day))): tuple(values) for no, day, *values in rows}


def of_archive(data, following):
    archive = f"{data}/archive"
    has = glob.glob(f"{archive}/*/reservations_forgotten/*/*/*.parquet")
    forgotten = f"read_parquet('{archive}/*/reservations_forgotten/*/*/*.parquet')"
    none = '(SELECT 0::UBIGINT AS "offset", 0::UINTEGER AS "before" WHERE false)'
    with open(os.path.join(os.path.dirname(__file__), "spend.sql")) as file:
        query = file.read()
    query = query.replace("{archive}", archive).replace("{next}", str(following))
    query = query.replace("{forgotten}", forgotten if has else none)
    db = duckdb.connect()
    events = sum(
        db.execute(f"SELECT count(*) FROM read_parquet('{table}/*/*/*.parquet') WHERE \"offset\" < {following}").fetchone()[0]
        for table in glob.glob(f"{archive}/[0-9]*/*/")
    )
    rows = db.execute(query).fetchall()
    return events, {(no, day): (int(spent), int(late), billed) for no, day, spent, late, billed in rows}


def main(data):
    following, books = of_books(data)
    events, archive = of_archive(data, following)
    if events != following:
        sys.exit(f"the archive has {events} of the {following} events that are in the books: run `gavel export` first")
    differences = 0
    for key in sorted(books.keys() | archive.keys()):
        by_books, by_sql = books.get(key, (0, 0, 0)), archive.get(key, (0, 0, 0))
        for what, mine, theirs in zip(("spent", "late", "billed"), by_books, by_sql):
            if mine != theirs:
                differences += 1
                print(f"{key[0]}: {key[1]}: {what}: {theirs} by DuckDB, {mine} in the books")
    spent = sum(values[0] for values in books.values())
    print(f"{differences} differences between DuckDB {duckdb.__version__} and the books: {events} events, "
          f"{len(books)} campaign days, {spent} nanos spent")
    sys.exit(1 if differences else 0)


main(sys.argv[1])
