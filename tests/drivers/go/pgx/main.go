// What applications do with pgx, said as a transcript that does not depend on the way there.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgconn/stmtcache"
	"github.com/jackc/pgx/v4"
)

var part string
var ctx = context.Background()

func say(what string, values ...interface{}) { fmt.Printf("%s: %s: %v\n", part, what, values) }

func must(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "failed in %s: %v\n", part, err)
		os.Exit(1)
	}
}

func refused(what string, err error) {
	var told *pgconn.PgError
	if errors.As(err, &told) {
		say(what, told.Severity, told.Code, told.Message, told.Detail, told.ConstraintName)
		return
	}
	must(fmt.Errorf("%s: %v", what, err))
}

func connect(simple bool) *pgx.Conn {
	config := configuration()
	config.PreferSimpleProtocol = simple
	c, err := pgx.ConnectConfig(ctx, config)
	must(err)
	return c
}

func configuration() *pgx.ConnConfig {
	words := fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%s sslmode=%s connect_timeout=20", os.Getenv("PGHOST"),
		os.Getenv("PGPORT"), os.Getenv("PGUSER"), os.Getenv("PGPASSWORD"), os.Getenv("PGDATABASE"), os.Getenv("PGSSLMODE"))
	if root := os.Getenv("PGSSLROOTCERT"); root != "" {
		words += " sslrootcert=" + root
	}
	config, err := pgx.ParseConfig(words)
	must(err)
	return config
}

func logins() {
	for _, wrong := range []func(*pgx.ConnConfig){
		func(config *pgx.ConnConfig) { config.Password = "wrong" },
		func(config *pgx.ConnConfig) { config.Database = "no_such_database" },
	} {
		config := configuration()
		wrong(config)
		_, err := pgx.ConnectConfig(ctx, config)
		refused("login", err)
	}
	config := configuration()
	config.RuntimeParams = map[string]string{"application_name": "a driver", "statement_timeout": "7s"}
	c, err := pgx.ConnectConfig(ctx, config)
	must(err)
	var name, limit string
	must(c.QueryRow(ctx, "SELECT current_setting('application_name'), current_setting('statement_timeout')").Scan(&name, &limit))
	say("settings", name, limit)
	must(c.Close(ctx))
}

// Statements that are prepared by name and kept, described without a name, or not kept at all. A
// cache that is smaller than what is asked closes statements on its way.
func caches() {
	for _, mode := range []int{-1, stmtcache.ModePrepare, stmtcache.ModeDescribe} {
		config := configuration()
		config.BuildStatementCache = nil
		if mode >= 0 {
			config.BuildStatementCache = func(c *pgconn.PgConn) stmtcache.Cache { return stmtcache.New(c, mode, 5) }
		}
		c, err := pgx.ConnectConfig(ctx, config)
		must(err)
		sum := 0
		for round := 0; round < 3; round++ {
			for n := 0; n < 12; n++ {
				var got int
				must(c.QueryRow(ctx, fmt.Sprintf("SELECT $1::int4 + %d", n), n).Scan(&got))
				sum += got
			}
		}
		var kept int
		must(c.QueryRow(ctx, "SELECT count(*) FROM pg_prepared_statements").Scan(&kept))
		say("cache", mode, sum, kept)
		_, err = c.Exec(ctx, "CREATE TEMP TABLE k (a int); INSERT INTO k VALUES (1)")
		must(err)
		var a int
		must(c.QueryRow(ctx, "SELECT * FROM k").Scan(&a))
		_, err = c.Exec(ctx, "ALTER TABLE k ALTER a TYPE text")
		must(err)
		var text string
		err = c.QueryRow(ctx, "SELECT * FROM k").Scan(&text)
		say("after its table changed", text, err)
		must(c.Close(ctx))
	}
}

func cursors() {
	c := connect(false)
	transaction, err := c.Begin(ctx)
	must(err)
	_, err = transaction.Exec(ctx, "DECLARE d SCROLL CURSOR FOR SELECT n, repeat('x', n) FROM generate_series(1, 100) AS n")
	must(err)
	for _, fetch := range []string{"FETCH 7 FROM d", "FETCH BACKWARD 3 FROM d", "FETCH ALL FROM d"} {
		rows, err := transaction.Query(ctx, fetch)
		must(err)
		sum := 0
		for rows.Next() {
			var n int
			var text string
			must(rows.Scan(&n, &text))
			sum += len(text)
		}
		say(fetch, sum, rows.CommandTag(), rows.Err())
	}
	must(transaction.Rollback(ctx))
	must(c.Close(ctx))
}

func ends() {
	c, other := connect(false), connect(false)
	// The driver gives the session up, and cancels what it left there.
	limited, stop := context.WithCancel(ctx)
	pid := int32(c.PgConn().PID())
	there := func(condition string) (count int) {
		must(other.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"+condition, pid).Scan(&count))
		return count
	}
	go func() {
		for there(" AND wait_event = 'PgSleep'") == 0 {
		}
		stop()
	}()
	_, err := c.Exec(limited, "SELECT pg_sleep(60)")
	say("given up", err != nil, c.IsClosed())
	for there("") != 0 {
	}
	say("nothing left", true)
	c = connect(false)
	var ended bool
	must(other.QueryRow(ctx, "SELECT pg_terminate_backend($1, 5000)", int32(c.PgConn().PID())).Scan(&ended))
	_, err = c.Exec(ctx, "SELECT 1")
	refused("ended", err)
	must(other.Close(ctx))
}

func queries() {
	for _, simple := range []bool{false, true} {
		c := connect(simple)
		var pid uint32
		must(c.QueryRow(ctx, "SELECT pg_backend_pid()::int8").Scan(&pid))
		say("pid is the server's", pid == c.PgConn().PID())
		for round := 0; round < 3; round++ {
			var text string
			var number int64
			var at time.Time
			var yes bool
			row := c.QueryRow(ctx, "SELECT $1::text, $2::int8, '2024-02-29 12:00:00+00'::timestamptz, $3::bool", "gr\u00fc\u00df", int64(9007199254740993), true)
			must(row.Scan(&text, &number, &at, &yes))
			say("row", text, number, at.UTC(), yes)
		}
		_, err := c.Exec(ctx, "SELECT 1/0")
		refused("division", err)
		must(c.Close(ctx))
	}
}

func batches() {
	c := connect(false)
	_, err := c.Exec(ctx, "CREATE TEMP TABLE b (id int PRIMARY KEY, t text)")
	must(err)
	batch := &pgx.Batch{}
	for n := 0; n < 500; n++ {
		batch.Queue("INSERT INTO b VALUES ($1, $2)", n, strings.Repeat("t", n))
	}
	batch.Queue("SELECT count(*), sum(length(t)) FROM b")
	results := c.SendBatch(ctx, batch)
	for n := 0; n < 500; n++ {
		_, err := results.Exec()
		must(err)
	}
	var count, sum int
	must(results.QueryRow().Scan(&count, &sum))
	must(results.Close())
	say("counts", count, sum)
	batch = &pgx.Batch{}
	batch.Queue("INSERT INTO b VALUES (1000, '')")
	batch.Queue("INSERT INTO b VALUES (7, '')")
	batch.Queue("INSERT INTO b VALUES (1001, '')")
	refused("a batch that fails", c.SendBatch(ctx, batch).Close())
	must(c.QueryRow(ctx, "SELECT count(*) FROM b").Scan(&count))
	say("after", count)
	must(c.Close(ctx))
}

func copies() {
	c := connect(false)
	_, err := c.Exec(ctx, "CREATE TEMP TABLE c (id int4, t text)")
	must(err)
	rows := make([][]interface{}, 20000)
	for n := range rows {
		rows[n] = []interface{}{int32(n), fmt.Sprint("row ", n)}
	}
	copied, err := c.CopyFrom(ctx, pgx.Identifier{"c"}, []string{"id", "t"}, pgx.CopyFromRows(rows))
	must(err)
	var out strings.Builder
	tag, err := c.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM c ORDER BY id) TO STDOUT")
	must(err)
	say("copied", copied, tag, out.Len())
	_, err = c.PgConn().CopyFrom(ctx, strings.NewReader("1\tone\nx\ttwo\n"), "COPY c FROM STDIN")
	refused("does not fit", err)
	must(c.Close(ctx))
}

// Of a table that is sealed on some ways.
func personalCopies() {
	c := connect(false)
	rows := make([][]interface{}, 5000)
	for n := range rows {
		rows[n] = []interface{}{int32(n), fmt.Sprint("person ", n, "\té")}
		if n%7 == 6 {
			rows[n][1] = nil
		}
	}
	copied, err := c.CopyFrom(ctx, pgx.Identifier{"personal"}, []string{"id", "email"}, pgx.CopyFromRows(rows))
	must(err)
	var out strings.Builder
	tag, err := c.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM personal ORDER BY id) TO STDOUT")
	must(err)
	say("copied", copied, tag, out.Len())
	var id int32
	must(c.QueryRow(ctx, "SELECT id FROM personal WHERE email = $1", "person 7\té").Scan(&id))
	say("found", id)
	_, err = c.PgConn().CopyFrom(ctx, strings.NewReader("1\tone\nx\ttwo\n"), "COPY personal FROM STDIN")
	refused("does not fit", err)
	_, err = c.Exec(ctx, "DELETE FROM personal")
	must(err)
	must(c.Close(ctx))
}

func transactions() {
	c := connect(false)
	transaction, err := c.Begin(ctx)
	must(err)
	_, err = transaction.Exec(ctx, "CREATE TEMP TABLE t (id int PRIMARY KEY)")
	must(err)
	nested, err := transaction.Begin(ctx)
	must(err)
	_, err = nested.Exec(ctx, "INSERT INTO t VALUES (1), (1)")
	refused("twice", err)
	must(nested.Rollback(ctx))
	_, err = transaction.Exec(ctx, "INSERT INTO t VALUES (2)")
	must(err)
	objects := transaction.LargeObjects()
	id, err := objects.Create(ctx, 0)
	must(err)
	object, err := objects.Open(ctx, id, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	must(err)
	_, err = object.Write([]byte(strings.Repeat("z", 1500000)))
	must(err)
	_, err = object.Seek(1400000, 0)
	must(err)
	piece := make([]byte, 200000)
	read, err := object.Read(piece)
	say("large object", read, err == io.EOF)
	must(transaction.Rollback(ctx))
	must(c.Close(ctx))
}

func waiting() {
	listening, speaking := connect(false), connect(false)
	_, err := listening.Exec(ctx, "LISTEN drivers")
	must(err)
	_, err = speaking.Exec(ctx, "SELECT pg_notify('drivers', 'hello')")
	must(err)
	limited, stop := context.WithTimeout(ctx, 20*time.Second)
	heard, err := listening.WaitForNotification(limited)
	must(err)
	stop()
	say("heard", heard.Channel, heard.Payload, heard.PID == speaking.PgConn().PID())
	go func() {
		var asleep int
		for asleep == 0 {
			must(speaking.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = $1", int32(listening.PgConn().PID())).Scan(&asleep))
		}
		must(listening.PgConn().CancelRequest(ctx))
	}()
	_, err = listening.Exec(ctx, "SELECT pg_sleep(60)")
	refused("cancelled", err)
	must(listening.Close(ctx))
	must(speaking.Close(ctx))
}

func long() {
	c := connect(false)
	var length int
	var back string
	must(c.QueryRow(ctx, "SELECT length($1::text), repeat('y', 5000000)", strings.Repeat("x", 5000000)).Scan(&length, &back))
	say("lengths", length, len(back))
	must(c.Close(ctx))
	for n := 0; n < 20; n++ {
		must(connect(false).Close(ctx))
	}
	say("connected again", true)
}

func main() {
	for _, one := range []struct {
		name string
		run  func()
	}{{"logins", logins}, {"queries", queries}, {"caches", caches}, {"cursors", cursors}, {"ends", ends}, {"batches", batches}, {"copies", copies}, {"personal copies", personalCopies}, {"transactions", transactions}, {"waiting", waiting}, {"long", long}} {
		part = one.name
		one.run()
	}
	fmt.Println("done")
}
