"""What applications do with psqlODBC on sealed tables, said as a transcript: prepared by the server, and with values in the statement."""

import glob

import pyodbc
from people import ADA, BOB, CHANGED, CHLOE, EVE, GONE, LOANS, MANY, MEMBERS, UPSERTED, refused, run, say
from transcript import DATABASE, HOST, PORT, USER

COLUMNS = ("email", "phone", "note", "city", "visits")
ALL = "id, email, phone, note, city, visits"
INSERT = "INSERT INTO members (email, phone, note, city, visits) VALUES (?, ?, ?, ?, ?)"
(DRIVER,) = glob.glob("/usr/lib/*/odbc/psqlodbcw.so")
pyodbc.pooling = False


def fields(member, **changed):
    return [{**member, **changed}[name] for name in COLUMNS]


def state(error):
    return error.args[0] if isinstance(error, pyodbc.Error) else None


def work(db):
    def rows(sql, *values):
        return [list(row) for row in db.execute(sql, *values).fetchall()]

    def firsts(sql, *values):
        return [row[0] for row in rows(sql, *values)]

    def count(sql, *values):
        return db.execute(sql, *values).rowcount

    say("create", rows(f"{INSERT} RETURNING {ALL}", *fields(MEMBERS[0])))
    db.cursor().executemany(INSERT, [fields(member) for member in MEMBERS[1:]])
    fast = db.cursor()
    fast.fast_executemany = True  # arrays of parameters
    fast.setinputsizes([(pyodbc.SQL_WVARCHAR, 200, 0)] * 4)
    fast.executemany(INSERT, [fields(member) for member in MANY])
    say("bulk", rows(f"SELECT {ALL} FROM members WHERE visits < ? ORDER BY id", 100), firsts("SELECT count(*) FROM members"))
    for loan in LOANS:
        count("INSERT INTO loans (member_id, title, email, remark) SELECT id, ?, ?, ? FROM members WHERE email = ?", loan["title"], loan["email"], loan["remark"], loan["member"])
    say("bulk", rows("SELECT title, email, remark FROM loans ORDER BY id"))
    db.commit()

    (ident,) = firsts("SELECT id FROM members WHERE email = ?", ADA)
    say("key", rows(f"SELECT {ALL} FROM members WHERE id = ?", ident), rows(f"SELECT {ALL} FROM members WHERE id = ?", -1))
    say("equal", rows(f"SELECT {ALL} FROM members WHERE email = ?", BOB), firsts("SELECT id FROM members WHERE phone = ? ORDER BY id", MEMBERS[0]["phone"]))
    find = db.cursor()
    for email in (CHLOE, "nobody", BOB):
        say("equal", [row.note for row in find.execute("SELECT note FROM members WHERE email = ?", email)])
    say("in", firsts("SELECT id FROM members WHERE email IN (?, ?, ?) ORDER BY id", ADA, EVE, "nobody"), firsts("SELECT id FROM members WHERE email IN (SELECT email FROM loans) ORDER BY id"))
    say("null", firsts("SELECT id FROM members WHERE phone IS NULL ORDER BY id"), firsts("SELECT count(*) FROM members WHERE note IS NOT NULL"))
    say("or", firsts("SELECT id FROM members WHERE email = ? OR phone = ? OR (note IS NULL AND city = ?) ORDER BY id", ADA, MEMBERS[1]["phone"], "Oslo"))
    say("not", firsts("SELECT id FROM members WHERE email <> ? AND visits < 100 ORDER BY id", ADA), firsts("SELECT id FROM members WHERE email NOT IN (?, ?) AND visits < 100 ORDER BY id", ADA, BOB))
    say("described", [column[:3] for column in db.execute(f"SELECT {ALL} FROM members WHERE email = ?", ADA).description].__repr__())

    say("join", rows("SELECT m.email, l.title, l.remark FROM loans l JOIN members m ON m.id = l.member_id WHERE m.email IN (?, ?) ORDER BY l.id", ADA, BOB))
    say("join", rows("SELECT l.title, m.note FROM loans l JOIN members m USING (email) ORDER BY l.id"), rows("SELECT m.email, l.remark FROM {oj members m LEFT OUTER JOIN loans l ON l.member_id = m.id} WHERE m.city = ? ORDER BY m.id, l.id", "London"))
    known = rows("SELECT id, email FROM members WHERE phone = ? ORDER BY id", MEMBERS[0]["phone"])
    say("eager", [[email, rows("SELECT title, remark FROM loans WHERE member_id = ? ORDER BY id", one)] for one, email in known])

    say("count", firsts("SELECT count(*) FROM members WHERE email = ?", ADA), firsts("SELECT count(DISTINCT phone) FROM members"))
    say("exists", firsts("SELECT 1 WHERE EXISTS (SELECT 1 FROM members WHERE email = ?)", ADA), firsts("SELECT email FROM members m WHERE EXISTS (SELECT 1 FROM loans l WHERE l.email = m.email) ORDER BY id"))
    say("group", rows("SELECT phone, count(*) FROM members WHERE visits < 100 GROUP BY phone ORDER BY 2 DESC, min(id)"))
    for offset in (0, 2, 4):
        say("page", firsts("SELECT email FROM members WHERE city <> ? ORDER BY visits DESC LIMIT ? OFFSET ?", "Many", 2, offset))
    many = db.execute("SELECT email FROM members WHERE city = ? ORDER BY id", "Many")
    say("page", [len(many.fetchmany(25)) for _ in range(4)])

    say("update", rows(f"UPDATE members SET email = ?, note = ?, visits = visits + 1 WHERE email = ? RETURNING {ALL}", CHANGED["email"], CHANGED["note"], ADA))
    count("UPDATE members SET email = ?, phone = ? WHERE id = ?", ADA, None, ident)
    say("update", count("UPDATE members SET phone = ? WHERE email = ?", CHANGED["phone"], EVE), count("UPDATE members SET note = NULL WHERE phone = ?", "nothing"))
    count("UPDATE members SET phone = CASE id WHEN ? THEN ? ELSE phone END WHERE email IN (?, ?)", ident, MEMBERS[0]["phone"], ADA, BOB)
    say("update", rows(f"SELECT {ALL} FROM members WHERE visits < 100 ORDER BY id"))
    upsert = "ON CONFLICT (email) DO UPDATE SET phone = EXCLUDED.phone, note = EXCLUDED.note RETURNING email, phone, note"
    say("upsert", rows(f"{INSERT} {upsert}", *fields(UPSERTED)), rows(f"{INSERT} {upsert}", *fields(GONE, email=EVE)), rows(f"{INSERT} ON CONFLICT DO NOTHING RETURNING id", *fields(MEMBERS[0])))
    db.commit()

    count(INSERT, *fields(GONE))
    say("transaction", firsts("SELECT note FROM members WHERE email = ?", GONE["email"]))
    db.rollback()
    say("transaction", firsts("SELECT note FROM members WHERE email = ?", GONE["email"]))
    for email in (ADA, GONE["email"]):
        db.execute("SAVEPOINT one")
        try:
            count(INSERT, *fields(GONE, email=email))
            say("savepoint", email, "kept")
        except pyodbc.Error as error:
            db.execute("ROLLBACK TO SAVEPOINT one")
            say("duplicate", state(error), "members_email_key" in str(error))
    say("savepoint", firsts("SELECT note FROM members WHERE email = ? FOR UPDATE", GONE["email"]))
    db.commit()
    refused("lower", lambda: firsts("SELECT id FROM members WHERE {fn LCASE(email)} = ?", ADA), state)
    db.rollback()
    refused("order by", lambda: firsts("SELECT id FROM members ORDER BY email"), state)
    db.rollback()
    say("delete", sorted(firsts("DELETE FROM members WHERE email IN (?, ?) RETURNING email", GONE["email"], EVE)), count("DELETE FROM members WHERE email = ?", BOB))
    say("delete", firsts("SELECT email FROM members WHERE visits < 100 ORDER BY id"), count("DELETE FROM loans"), count("DELETE FROM members"))
    db.commit()


def over(prepared, fetch=0):
    def it():
        # With or without cursors by DECLARE; errors undo nothing by themselves.
        db = pyodbc.connect(f"Driver={DRIVER};Server={HOST};Port={PORT};Database={DATABASE};Uid={USER};Pwd=unused;SSLmode=disable;UseDeclareFetch={fetch};Fetch=7;Protocol=7.4-0;UseServerSidePrepare={prepared}")
        work(db)
        db.close()

    return it


run(over(1), over(0), over(1, fetch=1), over(0, fetch=1))
