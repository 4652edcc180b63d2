// What applications do with pgjdbc, said as a transcript that does not depend on the way there.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public final class Session {
    interface Part {
        void run() throws Exception;
    }

    static String part = "";

    static void say(String what, Object... values) {
        System.out.println(part + ": " + what + ": " + Arrays.deepToString(values));
    }

    static Connection connect(String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("sslmode", System.getenv("PGSSLMODE"));
        if (System.getenv("PGSSLROOTCERT") != null) {
            properties.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        }
        for (int at = 0; at < options.length; at += 2) {
            properties.setProperty(options[at], options[at + 1]);
        }
        String address = System.getenv("PGHOST") + ":" + System.getenv("PGPORT");
        return DriverManager.getConnection("jdbc:postgresql://" + address + "/" + System.getenv("PGDATABASE"), properties);
    }

    static void refused(String what, Part part) throws Exception {
        try {
            part.run();
        } catch (SQLException error) {
            say(what, error.getSQLState(), error.getMessage().lines().findFirst().orElse(""));
            return;
        }
        throw new AssertionError(what + ": no error");
    }

    static String one(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
            r.next();
            return r.getString(1);
        }
    }

    static void login() throws Exception {
        try (Connection c = connect("ApplicationName", "a driver", "options", "-c statement_timeout=7s")) {
            int told = c.unwrap(PGConnection.class).getBackendPID();
            say("pid is the server's", told == Integer.parseInt(one(c, "SELECT pg_backend_pid()")));
            say("settings", one(c, "SHOW application_name"), one(c, "SHOW statement_timeout"), one(c, "SHOW client_encoding"));
        }
        refused("wrong password", () -> connect("password", "wrong"));
    }

    // Named statements, text and then binary results, from the third execution on.
    static void prepared() throws Exception {
        String types = "SELECT ?::int4, ?::int8, ?::text, ?::bool, ?::numeric, ?::float8, '\\x00ff'::bytea, '2024-02-29'::date, ARRAY[1, NULL, 3], "
            + "'2024-02-29 12:00:00.000001'::timestamp, '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid, '{\"a\": [1]}'::jsonb";
        try (Connection c = connect("prepareThreshold", "3"); PreparedStatement s = c.prepareStatement(types)) {
            for (int round = 0; round < 8; round++) {
                s.setInt(1, round);
                s.setLong(2, 9007199254740993L);
                s.setString(3, "gr\u00fc\u00df \u4e2d");
                s.setBoolean(4, true);
                s.setBigDecimal(5, new java.math.BigDecimal("12345678901234567890.123"));
                s.setDouble(6, 1.5);
                try (ResultSet r = s.executeQuery()) {
                    r.next();
                    say("row", r.getInt(1), r.getLong(2), r.getString(3), r.getBoolean(4), r.getBigDecimal(5), r.getDouble(6),
                        r.getBytes(7), r.getString(8), r.getArray(9).getArray(), r.getString(10), r.getString(11), r.getString(12));
                }
            }
            s.getConnection().createStatement().execute("DISCARD ALL");
            // The driver hears of it and prepares anew.
            try (ResultSet r = s.executeQuery()) {
                r.next();
                say("after DISCARD ALL", r.getInt(1));
            }
        }
    }

    static void batches() throws Exception {
        for (String rewritten : new String[] {"false", "true"}) {
            try (Connection c = connect("reWriteBatchedInserts", rewritten); Statement s = c.createStatement()) {
                s.execute("CREATE TEMP TABLE b (id int PRIMARY KEY, t text)");
                try (PreparedStatement p = c.prepareStatement("INSERT INTO b VALUES (?, ?)")) {
                    for (int id = 0; id < 500; id++) {
                        p.setInt(1, id);
                        p.setString(2, "t".repeat(id));
                        p.addBatch();
                    }
                    say("counts", p.executeBatch().length);
                    p.setInt(1, 1000);
                    p.setString(2, "");
                    p.addBatch();
                    p.setInt(1, 7);
                    p.addBatch();
                    refused("a batch that fails", () -> p.executeBatch());
                }
                say("sum", one(c, "SELECT count(*) || ' ' || sum(length(t)) FROM b"));
            }
        }
    }

    static void cursors() throws Exception {
        try (Connection c = connect()) {
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(7);
                long sum = 0;
                try (ResultSet r = s.executeQuery("SELECT n, repeat('x', n) FROM generate_series(1, 100) AS n")) {
                    while (r.next()) {
                        sum += r.getString(2).length();
                    }
                }
                say("fetched in portals", sum);
            }
            c.commit();
        }
    }

    static void transactions() throws Exception {
        for (String autosave : new String[] {"never", "always"}) {
            try (Connection c = connect("autosave", autosave); Statement s = c.createStatement()) {
                c.setAutoCommit(false);
                s.execute("CREATE TEMP TABLE t (id int PRIMARY KEY)");
                Savepoint point = c.setSavepoint("p");
                refused("division", () -> s.execute("SELECT 1 / 0"));
                if (autosave.equals("never")) {
                    refused("within a failed transaction", () -> s.execute("SELECT 1"));
                    c.rollback(point);
                }
                s.execute("INSERT INTO t VALUES (1)");
                c.commit();
                say(autosave, one(c, "SELECT count(*) FROM t"));
            }
        }
    }

    static void copies() throws Exception {
        try (Connection c = connect(); Statement s = c.createStatement()) {
            s.execute("CREATE TEMP TABLE c (id int, t text)");
            CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder rows = new StringBuilder();
            for (int id = 0; id < 20000; id++) {
                rows.append(id).append("\trow ").append(id).append('\n');
            }
            say("in", copy.copyIn("COPY c FROM STDIN", new StringReader(rows.toString())));
            StringWriter out = new StringWriter();
            say("out", copy.copyOut("COPY (SELECT * FROM c ORDER BY id) TO STDOUT", out), out.toString().equals(rows.toString()));
            refused("a row that does not fit", () -> copy.copyIn("COPY c FROM STDIN", new StringReader("1\tone\nx\ttwo\n")));
            say("after", one(c, "SELECT count(*) FROM c"));
        }
    }

    // Of a table that is sealed on some ways.
    static void personalCopies() throws Exception {
        try (Connection c = connect(); Statement s = c.createStatement()) {
            CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder rows = new StringBuilder();
            for (int id = 0; id < 5000; id++) {
                rows.append(id).append(id % 7 == 6 ? "\t\\N" : "\tperson " + id + "\\t\u00e9").append('\n');
            }
            say("in", copy.copyIn("COPY personal (id, email) FROM STDIN", new StringReader(rows.toString()), 100));
            StringWriter out = new StringWriter();
            say("out", copy.copyOut("COPY (SELECT id, email FROM personal ORDER BY id) TO STDOUT", out), out.toString().equals(rows.toString()));
            ByteArrayOutputStream binary = new ByteArrayOutputStream();
            say("binary", copy.copyOut("COPY personal (id, email) TO STDOUT (FORMAT binary)", binary), binary.size());
            s.execute("DELETE FROM personal");
            say("again", copy.copyIn("COPY personal FROM STDIN (FORMAT binary)", new ByteArrayInputStream(binary.toByteArray())));
            say("found", one(c, "SELECT id FROM personal WHERE email = E'person 7\\t\u00e9'"));
            refused("a row that does not fit", () -> copy.copyIn("COPY personal FROM STDIN", new StringReader("1\tone\nx\ttwo\n")));
            say("after", one(c, "SELECT count(email) FROM personal"));
            s.execute("DELETE FROM personal");
        }
    }

    // By FunctionCall.
    static void largeObjects() throws Exception {
        try (Connection c = connect()) {
            c.setAutoCommit(false);
            LargeObjectManager objects = c.unwrap(PGConnection.class).getLargeObjectAPI();
            long id = objects.createLO(LargeObjectManager.READWRITE);
            byte[] piece = new byte[100_000];
            Arrays.fill(piece, (byte) 7);
            try (LargeObject object = objects.open(id, LargeObjectManager.WRITE)) {
                for (int round = 0; round < 15; round++) {
                    object.write(piece);
                }
            }
            try (LargeObject object = objects.open(id, LargeObjectManager.READ)) {
                object.seek64(1_400_000, LargeObject.SEEK_SET);
                byte[] read = object.read(200_000);
                say("read", object.size64(), read.length, read[99_999]);
            }
            objects.delete(id);
            c.commit();
        }
    }

    static void cancelling() throws Exception {
        try (Connection c = connect(); Statement s = c.createStatement(); Connection other = connect()) {
            String asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = "
                + c.unwrap(PGConnection.class).getBackendPID();
            Thread canceller = new Thread(() -> {
                try {
                    while (!one(other, asleep).equals("1")) {
                        Thread.onSpinWait();
                    }
                    s.cancel();
                } catch (SQLException error) {
                    throw new AssertionError(error);
                }
            });
            canceller.start();
            refused("cancelled", () -> s.execute("SELECT pg_sleep(60)"));
            canceller.join();
            say("after", one(c, "SELECT 'well'"));
            s.setQueryTimeout(1);
            refused("timed out", () -> s.execute("SELECT pg_sleep(60)"));
            s.setQueryTimeout(0);
            say("after a timeout", one(c, "SELECT 'well'"));
        }
    }

    // Every way the driver has to ask, binary results at once among them.
    static void modes() throws Exception {
        for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
            try (Connection c = connect("preferQueryMode", mode, "prepareThreshold", "-1", "preparedStatementCacheQueries", "4")) {
                long sum = 0;
                for (int round = 0; round < 3; round++) {
                    for (int n = 0; n < 10; n++) {
                        try (PreparedStatement s = c.prepareStatement("SELECT ? + " + n + ", ?::int8[]::text")) {
                            s.setInt(1, n);
                            s.setArray(2, c.createArrayOf("int8", new Long[] {1L, null, 3L}));
                            try (ResultSet r = s.executeQuery()) {
                                r.next();
                                sum += r.getInt(1) + r.getString(2).length();
                            }
                        }
                    }
                }
                try (Statement s = c.createStatement()) {
                    // On its own: with binary results at once the driver describes all before it executes any.
                    s.execute("CREATE TEMP TABLE m (id int)");
                    boolean rows = s.execute("SELECT 1; INSERT INTO m VALUES (1), (2); SELECT 2");
                    int updates = 0;
                    while (rows || s.getUpdateCount() != -1) {
                        updates += rows ? 0 : s.getUpdateCount();
                        rows = s.getMoreResults();
                    }
                    say(mode, sum, updates);
                    refused("the second of three", () -> s.execute("SELECT 1; SELECT 1 / 0; SELECT 2"));
                }
                try (PreparedStatement s = c.prepareStatement("INSERT INTO m VALUES (?) RETURNING id * 2")) {
                    s.setInt(1, 21);
                    try (ResultSet r = s.executeQuery()) {
                        r.next();
                        say("returned", r.getInt(1));
                    }
                }
            }
        }
    }

    static void notifications() throws Exception {
        try (Connection listening = connect(); Connection speaking = connect()) {
            listening.createStatement().execute("LISTEN drivers");
            speaking.createStatement().execute("NOTIFY drivers, 'hello'");
            PGConnection c = listening.unwrap(PGConnection.class);
            var heard = c.getNotifications(20_000)[0];
            say("heard", heard.getName(), heard.getParameter(), heard.getPID() == speaking.unwrap(PGConnection.class).getBackendPID());
        }
    }

    static void longValues() throws Exception {
        try (Connection c = connect(); PreparedStatement s = c.prepareStatement("SELECT length(?), repeat('y', ?)")) {
            s.setString(1, "x".repeat(10_000_000));
            s.setInt(2, 10_000_000);
            try (ResultSet r = s.executeQuery()) {
                r.next();
                say("lengths", r.getInt(1), r.getString(2).length());
            }
        }
    }

    static void reconnecting() throws Exception {
        for (int round = 0; round < 20; round++) {
            try (Connection c = connect()) {
                one(c, "SELECT 1");
            }
        }
        try (Connection c = connect(); Connection killer = connect()) {
            one(killer, "SELECT pg_terminate_backend(" + c.unwrap(PGConnection.class).getBackendPID() + ", 5000)");
            refused("ended", () -> one(c, "SELECT 1"));
        }
    }

    public static void main(String[] arguments) throws Exception {
        String[] names = {"login", "prepared", "batches", "cursors", "transactions", "copies", "personal copies", "large objects", "cancelling", "modes",
            "notifications", "long values", "reconnecting"};
        Part[] parts = {Session::login, Session::prepared, Session::batches, Session::cursors, Session::transactions, Session::copies, Session::personalCopies,
            Session::largeObjects, Session::cancelling, Session::modes, Session::notifications, Session::longValues, Session::reconnecting};
        for (int at = 0; at < parts.length; at++) {
            part = names[at];
            parts[at].run();
        }
        System.out.println("done");
    }
}
