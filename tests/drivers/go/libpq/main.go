// What applications do with lib/pq, said as a transcript that does not depend on the way there.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
)

var part string

func say(what string, values ...interface{}) { fmt.Printf("%s: %s: %v\n", part, what, values) }

func must(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "failed in %s: %v\n", part, err)
		os.Exit(1)
	}
}

func refused(what string, err error) {
	if told, ok := err.(*pq.Error); ok {
		say(what, told.Severity, told.Code, told.Message, told.Detail, told.Constraint)
		return
	}
	must(fmt.Errorf("%s: %v", what, err))
}

func words(more string) string {
	words := fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%s sslmode=%s connect_timeout=20 %s", os.Getenv("PGHOST"),
		os.Getenv("PGPORT"), os.Getenv("PGUSER"), os.Getenv("PGPASSWORD"), os.Getenv("PGDATABASE"), os.Getenv("PGSSLMODE"), more)
	if root := os.Getenv("PGSSLROOTCERT"); root != "" {
		words += " sslrootcert=" + root
	}
	return words
}

func open(more string) *sql.DB {
	db, err := sql.Open("postgres", words(more))
	must(err)
	db.SetMaxOpenConns(1)
	return db
}

func queries() {
	for _, more := range []string{"", "binary_parameters=yes"} {
		db := open(more)
		var text string
		var number int64
		var bytes []byte
		var list pq.Int64Array
		row := db.QueryRow("SELECT $1::text, $2::int8, $3::bytea, $4::int8[]", "gr\u00fc\u00df", int64(9007199254740993), []byte{0, 255}, pq.Array([]int64{1, 2}))
		must(row.Scan(&text, &number, &bytes, &list))
		say("row"+more, text, number, bytes, list)
		statement, err := db.Prepare("SELECT $1::int4 * 2")
		must(err)
		for n := 0; n < 50; n++ {
			var doubled int
			must(statement.QueryRow(n).Scan(&doubled))
			if doubled != 2*n {
				must(fmt.Errorf("%d", doubled))
			}
		}
		must(statement.Close())
		_, err = db.Exec("SELECT 1/0")
		refused("division", err)
		must(db.Close())
	}
}

func copies() {
	db := open("")
	transaction, err := db.Begin()
	must(err)
	_, err = transaction.Exec("CREATE TEMP TABLE c (id int, t text) ON COMMIT DROP")
	must(err)
	statement, err := transaction.Prepare(pq.CopyIn("c", "id", "t"))
	must(err)
	for n := 0; n < 20000; n++ {
		_, err = statement.Exec(n, fmt.Sprint("row ", n))
		must(err)
	}
	_, err = statement.Exec()
	must(err)
	must(statement.Close())
	var count int
	must(transaction.QueryRow("SELECT count(*) FROM c").Scan(&count))
	say("copied", count)
	_, err = transaction.Exec("SAVEPOINT s; SELECT 1/0")
	refused("within", err)
	_, err = transaction.Exec("SELECT 1")
	refused("failed", err)
	must(transaction.Rollback())
	transaction, err = db.Begin()
	must(err)
	_, err = transaction.Exec("CREATE TEMP TABLE d (id int) ON COMMIT DROP; SAVEPOINT s")
	must(err)
	statement, err = transaction.Prepare(pq.CopyIn("d", "id"))
	must(err)
	_, err = statement.Exec("x")
	must(err)
	_, err = statement.Exec()
	refused("does not fit", err)
	statement.Close()
	_, err = transaction.Exec("ROLLBACK TO SAVEPOINT s")
	must(err)
	_, err = transaction.Exec("INSERT INTO d VALUES (1)")
	must(err)
	must(transaction.QueryRow("SELECT count(*) FROM d").Scan(&count))
	say("after", count)
	must(transaction.Commit())
	must(db.Close())
}

func logins() {
	for _, more := range []string{"password=wrong", "dbname=no_such_database"} {
		refused(more, open(more).Ping())
	}
	db := open("application_name='a driver' statement_timeout=7000")
	var name, limit string
	must(db.QueryRow("SELECT current_setting('application_name'), current_setting('statement_timeout')").Scan(&name, &limit))
	say("settings", name, limit)
	must(db.Close())
}

// The driver sends a cancel request where its context ends.
func cancelling() {
	ctx := context.Background()
	db, other := open(""), open("")
	c, err := db.Conn(ctx)
	must(err)
	var pid int
	must(c.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid))
	limited, stop := context.WithCancel(ctx)
	go func() {
		asleep := 0
		for asleep == 0 {
			must(other.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = $1", pid).Scan(&asleep))
		}
		stop()
	}()
	_, err = c.ExecContext(limited, "SELECT pg_sleep(60)")
	refused("cancelled", err)
	c.Close()
	var again string
	must(db.QueryRow("SELECT 'well'").Scan(&again))
	say("after", again)
	must(db.QueryRow("SELECT pg_backend_pid()").Scan(&pid))
	var ended bool
	must(other.QueryRow("SELECT pg_terminate_backend($1, 5000)", pid).Scan(&ended))
	_, err = db.Exec("SELECT 1")
	say("ended", ended)
	must(db.QueryRow("SELECT 'anew'").Scan(&again))
	say("connected again", again)
	must(db.Close())
	must(other.Close())
}

func notifications() {
	listener := pq.NewListener(words(""), time.Second, time.Minute, nil)
	must(listener.Listen("drivers"))
	db := open("")
	_, err := db.Exec("SELECT pg_notify('drivers', 'hello')")
	must(err)
	select {
	case one := <-listener.Notify:
		say("heard", one.Channel, one.Extra)
	case <-time.After(20 * time.Second):
		must(fmt.Errorf("nothing heard"))
	}
	must(listener.Close())
	must(db.Close())
}

func long() {
	db := open("")
	var length int
	var back string
	must(db.QueryRow("SELECT length($1), repeat('y', 5000000)", strings.Repeat("x", 5000000)).Scan(&length, &back))
	say("lengths", length, len(back))
	must(db.Close())
	for n := 0; n < 20; n++ {
		db := open("")
		must(db.Ping())
		must(db.Close())
	}
	say("connected again", true)
}

func main() {
	for _, one := range []struct {
		name string
		run  func()
	}{{"logins", logins}, {"queries", queries}, {"copies", copies}, {"cancelling", cancelling}, {"notifications", notifications}, {"long", long}} {
		part = one.name
		one.run()
	}
	fmt.Println("done")
}
