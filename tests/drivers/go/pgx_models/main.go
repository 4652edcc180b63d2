// What applications do with pgx on sealed tables, said as a transcript: prepared and cached, described each time, and in the simple protocol.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgconn/stmtcache"
	"github.com/jackc/pgtype"
	"github.com/jackc/pgx/v4"
)

var ctx = context.Background()

type member struct {
	ID     int64   `json:"-"`
	Email  string  `json:"email"`
	Phone  *string `json:"phone"`
	Note   *string `json:"note"`
	City   string  `json:"city"`
	Visits int     `json:"visits"`
}

type people struct {
	Members []member `json:"members"`
	Loans   []struct {
		Member, Title string
		Email, Remark *string
	} `json:"loans"`
	Changed, Upserted, Gone member
}

type session interface {
	Query(context.Context, string, ...interface{}) (pgx.Rows, error)
	Exec(context.Context, string, ...interface{}) (pgconn.CommandTag, error)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func state(err error) string {
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		must(err)
	}
	return told.Code
}

func say(step string, values ...interface{}) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	must(encoder.Encode(values))
	fmt.Printf("%s: %s", step, out.String())
}

func read(rows pgx.Rows) [][]interface{} {
	defer rows.Close()
	all := [][]interface{}{}
	for rows.Next() {
		values, err := rows.Values()
		must(err)
		all = append(all, values)
	}
	must(rows.Err())
	return all
}

func rows(s session, sql string, values ...interface{}) [][]interface{} {
	found, err := s.Query(ctx, sql, values...)
	must(err)
	return read(found)
}

func firsts(s session, sql string, values ...interface{}) []interface{} {
	all := []interface{}{}
	for _, row := range rows(s, sql, values...) {
		all = append(all, row[0])
	}
	return all
}

func exec(s session, sql string, values ...interface{}) int64 {
	tag, err := s.Exec(ctx, sql, values...)
	must(err)
	return tag.RowsAffected()
}

// What is answered directly and refused on sealed columns.
func refused(s session, what string, sql string, values ...interface{}) {
	found, err := s.Query(ctx, sql, values...)
	if err == nil {
		for found.Next() {
		}
		err = found.Err()
	}
	if err == nil {
		fmt.Printf("refused: %s: answered\n", what)
	} else {
		fmt.Printf("refused: %s: %s\n", what, state(err))
	}
}

const all = "id, email, phone, note, city, visits"
const insert = "INSERT INTO members (email, phone, note, city, visits) VALUES ($1, $2, $3, $4, $5)"

func (m member) fields() []interface{} { return []interface{}{m.Email, m.Phone, m.Note, m.City, m.Visits} }

func (m member) as(email string) member {
	m.Email = email
	return m
}

func work(db *pgx.Conn, p people) {
	ada, bob, chloe, dora, eve := p.Members[0].Email, p.Members[1].Email, p.Members[2].Email, p.Members[3].Email, p.Members[4].Email
	say("create", rows(db, insert+" RETURNING "+all, p.Members[0].fields()...))
	batch := &pgx.Batch{}
	for _, one := range p.Members[1:] {
		batch.Queue(insert+" RETURNING id, email", one.fields()...)
	}
	batch.Queue("SELECT " + all + " FROM members ORDER BY id")
	results := db.SendBatch(ctx, batch)
	for range p.Members {
		found, err := results.Query()
		must(err)
		say("bulk", read(found))
	}
	must(results.Close())
	var emails, phones, notes []string
	for n := 0; n < 60; n++ {
		emails, phones, notes = append(emails, fmt.Sprintf("many.%d@sentinel.example", n)), append(phones, fmt.Sprintf("+44 20 7946 1%03d", n)), append(notes, fmt.Sprintf("sentinel note: many %d", n))
	}
	say("bulk", exec(db, "INSERT INTO members (email, phone, note, city, visits) SELECT v.email, v.phone, v.note, 'Many', 100 FROM unnest($1::text[], $2::text[], $3::text[]) AS v (email, phone, note)", emails, phones, notes))
	for _, loan := range p.Loans {
		exec(db, "INSERT INTO loans (member_id, title, email, remark) SELECT id, $1, $2, $3 FROM members WHERE email = $4", loan.Title, loan.Email, loan.Remark, loan.Member)
	}
	say("bulk", rows(db, "SELECT title, email, remark FROM loans ORDER BY id"))

	id := firsts(db, "SELECT id FROM members WHERE email = $1", ada)[0].(int64)
	say("key", rows(db, "SELECT "+all+" FROM members WHERE id = $1", id), rows(db, "SELECT "+all+" FROM members WHERE id = $1", -1))
	var one member
	must(db.QueryRow(ctx, "SELECT "+all+" FROM members WHERE email = $1", bob).Scan(&one.ID, &one.Email, &one.Phone, &one.Note, &one.City, &one.Visits))
	say("equal", one.ID, one, firsts(db, "SELECT id FROM members WHERE phone = $1 ORDER BY id", p.Members[0].Phone))
	for _, email := range []string{chloe, "nobody", bob} {
		say("equal", firsts(db, "SELECT note FROM members WHERE email = $1", email))
	}
	list := &pgtype.TextArray{}
	must(list.Set([]string{ada, bob}))
	say("in", firsts(db, "SELECT id FROM members WHERE email IN ($1, $2, $3) ORDER BY id", ada, eve, "nobody"), firsts(db, "SELECT id FROM members WHERE email = ANY($1) ORDER BY id", []string{ada, eve}),
		firsts(db, "SELECT id FROM members WHERE email = ANY($1) ORDER BY id", list), firsts(db, "SELECT id FROM members WHERE email <> ALL($1) AND visits < 100 ORDER BY id", []string{ada, eve}))
	say("null", firsts(db, "SELECT id FROM members WHERE phone IS NULL ORDER BY id"), firsts(db, "SELECT count(*) FROM members WHERE note IS NOT NULL"))
	say("or", firsts(db, "SELECT id FROM members WHERE email = $1 OR phone = $2 OR (note IS NULL AND city = $3) ORDER BY id", ada, p.Members[1].Phone, "Oslo"))
	var nothing *string
	optional := "SELECT id FROM members WHERE ($1::text IS NULL OR email = $1) AND visits < 100 ORDER BY id"
	say("or", firsts(db, optional, nothing), firsts(db, optional, ada))
	say("not", firsts(db, "SELECT id FROM members WHERE email <> $1 AND visits < 100 ORDER BY id", ada), firsts(db, "SELECT id FROM members WHERE phone IS DISTINCT FROM $1 AND visits < 100 ORDER BY id", p.Members[0].Phone))

	say("join", rows(db, "SELECT m.email, l.title, l.remark FROM loans l JOIN members m ON m.id = l.member_id WHERE m.email IN ($1, $2) ORDER BY l.id", ada, bob))
	say("join", rows(db, "SELECT l.title, m.note FROM loans l JOIN members m USING (email) ORDER BY l.id"), rows(db, "SELECT m.email, l.remark FROM members m LEFT JOIN loans l ON l.member_id = m.id WHERE m.city = $1 ORDER BY m.id, l.id", "London"))
	for _, known := range rows(db, "SELECT id, email FROM members WHERE phone = $1 ORDER BY id", p.Members[0].Phone) {
		say("eager", known[1], rows(db, "SELECT title, remark FROM loans WHERE member_id = $1 ORDER BY id", known[0]))
	}
	say("eager", rows(db, "SELECT m.email, l.title, l.remark FROM members m, LATERAL (SELECT title, remark FROM loans WHERE member_id = m.id ORDER BY id LIMIT 1) l ORDER BY m.id"))

	say("count", firsts(db, "SELECT count(*) FROM members"), firsts(db, "SELECT count(DISTINCT phone) FROM members"), firsts(db, "SELECT count(*) FROM members WHERE email = $1", ada))
	say("exists", firsts(db, "SELECT EXISTS (SELECT 1 FROM members WHERE email = $1)", ada), firsts(db, "SELECT email FROM members m WHERE EXISTS (SELECT 1 FROM loans l WHERE l.email = m.email) ORDER BY id"))
	say("group", rows(db, "SELECT phone, count(*) FROM members WHERE visits < 100 GROUP BY phone ORDER BY 2 DESC, min(id)"))
	for _, offset := range []int{0, 2, 4} {
		say("page", firsts(db, "SELECT email FROM members WHERE city <> $1 ORDER BY visits DESC LIMIT $2 OFFSET $3", "Many", 2, offset))
	}

	say("update", rows(db, "UPDATE members SET email = $1, note = $2, visits = visits + 1 WHERE email = $3 RETURNING "+all, p.Changed.Email, p.Changed.Note, ada))
	exec(db, "UPDATE members SET email = $1, phone = $2 WHERE id = $3", ada, nothing, id)
	say("update", exec(db, "UPDATE members SET phone = $1 WHERE email = $2", p.Changed.Phone, eve), exec(db, "UPDATE members SET note = NULL WHERE phone = $1", "nothing"))
	exec(db, "UPDATE members m SET phone = v.phone FROM (VALUES ($1::bigint, $2::text), ($3, $4)) AS v (id, phone) WHERE v.id = m.id", id, p.Members[0].Phone, id+1, p.Members[1].Phone)
	exec(db, "UPDATE members SET note = COALESCE($2, note) WHERE email = $1", ada, nothing)
	say("update", rows(db, "SELECT "+all+" FROM members WHERE visits < 100 ORDER BY id"))
	upsert := insert + " ON CONFLICT (email) DO UPDATE SET phone = EXCLUDED.phone, note = EXCLUDED.note RETURNING email, phone, note"
	say("upsert", rows(db, upsert, p.Upserted.as(dora).fields()...), rows(db, upsert, p.Gone.as(eve).fields()...), rows(db, insert+" ON CONFLICT DO NOTHING RETURNING id", p.Members[0].fields()...))

	tx, err := db.Begin(ctx)
	must(err)
	exec(tx, insert, p.Gone.fields()...)
	say("transaction", firsts(tx, "SELECT note FROM members WHERE email = $1", p.Gone.Email))
	must(tx.Rollback(ctx))
	say("transaction", firsts(db, "SELECT note FROM members WHERE email = $1", p.Gone.Email))
	must(db.BeginFunc(ctx, func(tx pgx.Tx) error {
		for _, email := range []string{ada, p.Gone.Email} {
			err := tx.BeginFunc(ctx, func(inner pgx.Tx) error {
				_, err := inner.Exec(ctx, insert, p.Gone.as(email).fields()...)
				return err
			})
			if err == nil {
				say("savepoint", email, "kept")
			} else {
				say("duplicate", state(err))
			}
		}
		say("savepoint", firsts(tx, "SELECT note FROM members WHERE email = $1 FOR UPDATE", p.Gone.Email))
		return nil
	}))
	refused(db, "lower", "SELECT id FROM members WHERE lower(email) = $1", ada)
	refused(db, "order by", "SELECT id FROM members ORDER BY email")
	gone := []string{}
	for _, email := range firsts(db, "DELETE FROM members WHERE email IN ($1, $2) RETURNING email", p.Gone.Email, eve) {
		gone = append(gone, email.(string))
	}
	sort.Strings(gone)
	say("delete", gone, exec(db, "DELETE FROM members WHERE email = $1", bob))
	say("delete", firsts(db, "SELECT email FROM members WHERE visits < 100 ORDER BY id"), exec(db, "DELETE FROM loans"), exec(db, "DELETE FROM members"))
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	must(err)
	var p people
	must(json.Unmarshal(text, &p))
	words := fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable", os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGUSER"), os.Getenv("PGDATABASE"))
	for _, how := range []func(*pgx.ConnConfig){
		func(config *pgx.ConnConfig) {},
		func(config *pgx.ConnConfig) {
			config.BuildStatementCache = func(conn *pgconn.PgConn) stmtcache.Cache { return stmtcache.New(conn, stmtcache.ModeDescribe, 64) }
		},
		func(config *pgx.ConnConfig) { config.PreferSimpleProtocol = true },
	} {
		config, err := pgx.ParseConfig(words)
		must(err)
		how(config)
		db, err := pgx.ConnectConfig(ctx, config)
		must(err)
		work(db, p)
		must(db.Close(ctx))
	}
	fmt.Println("done")
}
