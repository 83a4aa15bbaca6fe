import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/**
 * JDBC: {@code java Notes.java <name> [property=value]…}. The properties are the driver's, so that the same checks run with
 * server-side statements from the first execution on, and with simple queries.
 */
public final class Notes extends Program {
    private Notes() {}

    public static void main(String[] arguments) {
        settings(arguments);
        check("own_rows", Notes::ownRows);
        check("write", Notes::write);
        check("rollback", Notes::rollback);
        check("error_in_transaction", Notes::errorInTransaction);
        check("prepared", Notes::prepared);
        check("copy", Notes::copy);
        check("cursor", Notes::cursor);
        check("large_result", Notes::largeResult);
        check("large_text", Notes::largeText);
        check("notice", Notes::notice);
        check("cancel", Notes::cancel);
        check("timeout", Notes::timeout);
        check("sticky_settings", Notes::stickySettings);
        check("serializable", Notes::serializable);
        check("session_isolation", Notes::sessionIsolation);
        check("read_only", Notes::readOnly);
        check("many_statements", Notes::manyStatements);
        check("types", Notes::types);
        check("pipeline", Notes::batch);
        check("inspect", Notes::inspect);
        check("crowd", conn -> crowd());
        report();
    }

    static void ownRows(Connection conn) throws Exception {
        own(bodies(conn, "SELECT body FROM note"));
        try (PreparedStatement statement = conn.prepareStatement("SELECT body FROM note WHERE id >= ?")) {
            statement.setLong(1, 0);
            own(column(statement.executeQuery()));
        }
    }

    static void write(Connection conn) throws Exception {
        conn.setAutoCommit(false);
        long key;
        try (PreparedStatement insert =
                conn.prepareStatement("INSERT INTO note (body) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
            insert.setString(1, mark);
            same(insert.executeUpdate(), 1, "rows inserted");
            ResultSet keys = insert.getGeneratedKeys();
            keys.next();
            key = keys.getLong("id");
        }
        conn.commit();
        same(update(conn, "UPDATE note SET body = body || '!' WHERE id = " + key), 1, "rows updated");
        conn.commit();
        same(bodies(conn, "SELECT body FROM note WHERE id = " + key), List.of(mark + "!"), "body");
        same(update(conn, "DELETE FROM note WHERE id = " + key), 1, "rows deleted");
        conn.commit();
        own(bodies(conn, "SELECT body FROM note"));
    }

    static void rollback(Connection conn) throws Exception {
        conn.setAutoCommit(false);
        update(conn, "INSERT INTO note (body) VALUES ('" + mark + "')");
        Savepoint savepoint = conn.setSavepoint("one");
        update(conn, "DELETE FROM note");
        conn.rollback(savepoint);
        same(bodies(conn, "SELECT body FROM note").size(), ROWS + 1, "rows after a savepoint");
        conn.rollback();
        own(bodies(conn, "SELECT body FROM note"));
    }

    static void errorInTransaction(Connection conn) throws Exception {
        conn.setAutoCommit(false);
        update(conn, "INSERT INTO note (body) VALUES ('" + mark + "')");
        fails("22012", () -> bodies(conn, "SELECT 1 / 0"));
        fails("25P02", () -> bodies(conn, "SELECT body FROM note"));
        conn.rollback();
        own(bodies(conn, "SELECT body FROM note"));
        conn.setAutoCommit(true);
        fails("42P01", () -> bodies(conn, "SELECT * FROM no_such_table"));
        own(bodies(conn, "SELECT body FROM note"));
    }

    static void prepared(Connection conn) throws Exception {
        try (Connection other = connect();
                PreparedStatement first = conn.prepareStatement("SELECT body FROM note WHERE id <> ?");
                PreparedStatement second = conn.prepareStatement("SELECT ?::int + 1");
                PreparedStatement theirs = other.prepareStatement("SELECT ?::text || 'x'")) {
            for (int n = 0; n < 20; n++) {
                first.setLong(1, -n - 1);
                own(column(first.executeQuery()));
                second.setInt(1, n);
                same(column(second.executeQuery()), List.of(String.valueOf(n + 1)), "number");
                theirs.setString(1, String.valueOf(n));
                same(column(theirs.executeQuery()), List.of(n + "x"), "text");
            }
        }
    }

    static void copy(Connection conn) throws Exception {
        conn.setAutoCommit(false);
        CopyManager manager = conn.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder lines = new StringBuilder();
        for (int n = 0; n < 1000; n++) {
            lines.append(mark).append(' ').append(n).append("\t{\"n\": 1}\n");
        }
        StringReader in = new StringReader(lines.toString());
        if (HAS_COPY_FROM) {
            same(manager.copyIn("COPY note (body, data) FROM STDIN", in), 1000L, "rows copied in");
        } else {
            fails("0A000", () -> manager.copyIn("COPY note (body, data) FROM STDIN", in));
            conn.rollback();
        }
        StringWriter out = new StringWriter();
        same(manager.copyOut("COPY (SELECT body FROM note) TO STDOUT", out), ROWS + (HAS_COPY_FROM ? 1000L : 0L), "rows copied out");
        List<String> rest = new ArrayList<>(Arrays.asList(out.toString().trim().split("\n")));
        rest.removeIf(line -> line.startsWith("client "));
        own(rest);
        conn.rollback();
    }

    static void cursor(Connection conn) throws Exception {
        conn.setAutoCommit(false);
        try (PreparedStatement statement = conn.prepareStatement(
                "SELECT body FROM note UNION ALL SELECT n::text FROM generate_series(1, ?) AS n")) {
            statement.setFetchSize(100);
            statement.setInt(1, 5000);
            same(column(statement.executeQuery()).size(), 5000 + ROWS, "rows of a portal");
        }
        conn.commit();
    }

    static void largeResult(Connection conn) throws Exception {
        long sum = 0;
        try (Statement statement = conn.createStatement();
                ResultSet rows = statement.executeQuery("SELECT n FROM generate_series(1, " + LARGE_ROWS + ") AS n")) {
            while (rows.next()) {
                sum += rows.getLong(1);
            }
        }
        same(sum, (long) LARGE_ROWS * (LARGE_ROWS + 1) / 2, "sum");
    }

    static void largeText(Connection conn) throws Exception {
        try (PreparedStatement statement = conn.prepareStatement("SELECT ?::text")) {
            statement.setString(1, "x".repeat(LARGE_TEXT));
            same(column(statement.executeQuery()).get(0).length(), LARGE_TEXT, "characters");
        }
    }

    static void notice(Connection conn) throws Exception {
        try (Statement statement = conn.createStatement()) {
            statement.execute("DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; END $$");
            same(statement.getWarnings().getMessage(), "hear this", "notice");
        }
    }

    static void cancel(Connection conn) throws Exception {
        try (Statement statement = conn.createStatement()) {
            long[] asked = new long[1];
            Thread thread = new Thread(() -> {
                try {
                    Thread.sleep(300);
                    asked[0] = System.nanoTime();
                    statement.cancel();
                } catch (InterruptedException | SQLException error) {
                    error.printStackTrace();
                }
            });
            thread.start();
            fails("57014", () -> statement.executeQuery("SELECT pg_sleep(30)"));
            thread.join();
            holds(System.nanoTime() - asked[0] < 1_000_000_000L, "a cancelled query ends within a second");
        }
        own(bodies(conn, "SELECT body FROM note"));
    }

    static void timeout(Connection conn) throws Exception {
        try (Statement statement = conn.createStatement()) {
            statement.setQueryTimeout(1);
            fails("57014", () -> statement.executeQuery("SELECT pg_sleep(30)"));
        }
        own(bodies(conn, "SELECT body FROM note"));
    }

    static void stickySettings(Connection conn) throws Exception {
        try (Connection other = connect()) {
            execute(conn, "SET TIME ZONE 'Asia/Tokyo'");
            conn.setClientInfo("ApplicationName", "first of two");
            execute(other, "SET TIME ZONE 'America/Lima'");
            for (int n = 0; n < 5; n++) {
                conn.setAutoCommit(false);
                same(bodies(conn, "SHOW TimeZone"), List.of("Asia/Tokyo"), "time zone");
                same(bodies(conn, "SHOW application_name"), List.of("first of two"), "application_name");
                conn.commit();
                conn.setAutoCommit(true);
                same(bodies(other, "SHOW TimeZone"), List.of("America/Lima"), "time zone");
            }
        }
    }

    static void serializable(Connection conn) throws Exception {
        // The driver sends SET SESSION CHARACTERISTICS, outside of the transaction that it is for.
        conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        conn.setAutoCommit(false);
        for (int n = 0; n < 3; n++) {
            own(bodies(conn, "SELECT body FROM note"));
            same(bodies(conn, "SHOW transaction_isolation"), List.of("serializable"), "isolation");
            conn.commit();
        }
        conn.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        same(bodies(conn, "SHOW transaction_isolation"), List.of("read committed"), "isolation");
        conn.commit();
    }

    static void sessionIsolation(Connection conn) throws Exception {
        conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        try (Connection other = connect()) {
            // Behind a pool the neighbour now has the server session on which the level was set.
            other.setAutoCommit(false);
            own(bodies(other, "SELECT body FROM note"));
            conn.setAutoCommit(false);
            same(bodies(conn, "SHOW transaction_isolation"), List.of("serializable"), "isolation");
            same(bodies(other, "SHOW transaction_isolation"), List.of("read committed"), "the neighbour's isolation");
            conn.commit();
            other.commit();
        }
    }

    static void readOnly(Connection conn) throws Exception {
        conn.setReadOnly(true);
        conn.setAutoCommit(false);
        own(bodies(conn, "SELECT body FROM note"));
        fails("25006", () -> update(conn, "INSERT INTO note (body) VALUES ('" + mark + "')"));
        conn.rollback();
        conn.setReadOnly(false);
        same(update(conn, "INSERT INTO note (body) VALUES ('" + mark + "')"), 1, "rows inserted");
        conn.rollback();
    }

    static void manyStatements(Connection conn) throws Exception {
        try (Statement statement = conn.createStatement()) {
            statement.execute("BEGIN; INSERT INTO note (body) VALUES ('" + mark + "'); COMMIT; "
                    + "SELECT count(*) FROM note; DELETE FROM note WHERE body = '" + mark + "'; SELECT body FROM note");
            List<List<String>> results = new ArrayList<>();
            for (boolean isRows = false; isRows || statement.getUpdateCount() != -1; isRows = statement.getMoreResults()) {
                if (statement.getResultSet() != null) {
                    results.add(column(statement.getResultSet()));
                }
            }
            same(results.get(0), List.of(String.valueOf(ROWS + 1)), "after a COMMIT in the middle");
            own(results.get(1));
        }
    }

    static void types(Connection conn) throws Exception {
        conn.setAutoCommit(false);
        UUID id = UUID.randomUUID();
        BigDecimal number = new BigDecimal("12345678901234567890.123456789");
        OffsetDateTime at = OffsetDateTime.of(2026, 3, 29, 1, 30, 0, 123_456_000, ZoneOffset.UTC);
        byte[] bytes = new byte[1000];
        Arrays.fill(bytes, (byte) 0xff);
        for (int n = 0; n < 7; n++) {
            try (PreparedStatement statement = conn.prepareStatement("SELECT ?::uuid, ?::numeric, ?::timestamptz, ?::bytea, "
                    + "?::int[], ?::text[], ?::jsonb, ?::int8, ?::bool")) {
                statement.setObject(1, id);
                statement.setBigDecimal(2, number);
                statement.setObject(3, at);
                if (isSimple()) {
                    // Without parameters of their own, statements cannot carry bytes.
                    statement.setString(4, "\\x" + "ff".repeat(bytes.length));
                } else {
                    statement.setBytes(4, bytes);
                }
                statement.setArray(5, conn.createArrayOf("int4", new Integer[] {1, 2, null}));
                statement.setArray(6, conn.createArrayOf("text", new String[] {"a", "b\"c", "ü,{}"}));
                statement.setString(7, "{\"a\": [1, null]}");
                statement.setLong(8, 1L << 62);
                statement.setNull(9, java.sql.Types.BOOLEAN);
                ResultSet row = statement.executeQuery();
                row.next();
                same(row.getObject(1), id, "uuid");
                same(row.getBigDecimal(2), number, "numeric");
                same(row.getObject(3, OffsetDateTime.class).toInstant(), at.toInstant(), "timestamptz");
                holds(Arrays.equals(row.getBytes(4), bytes), "bytea");
                Array numbers = row.getArray(5);
                same(Arrays.asList((Object[]) numbers.getArray()), Arrays.asList(1, 2, null), "int[]");
                same(Arrays.asList((Object[]) row.getArray(6).getArray()), List.of("a", "b\"c", "ü,{}"), "text[]");
                same(row.getString(7), "{\"a\": [1, null]}", "jsonb");
                same(row.getLong(8), 1L << 62, "int8");
                same(row.getObject(9), null, "null");
            }
        }
        conn.rollback();
    }

    /** The driver sends the statements of a batch without waiting for answers. */
    static void batch(Connection conn) throws Exception {
        conn.setAutoCommit(false);
        try (PreparedStatement insert = conn.prepareStatement("INSERT INTO note (body) VALUES (?)")) {
            for (int n = 0; n < 1000; n++) {
                insert.setString(1, mark + " " + n);
                insert.addBatch();
            }
            same(Arrays.stream(insert.executeBatch()).sum(), 1000, "rows of a batch");
        }
        conn.rollback();
        try (PreparedStatement broken = conn.prepareStatement("INSERT INTO note (body) SELECT (1 / ?)::text")) {
            for (int n = 0; n < 10; n++) {
                broken.setInt(1, 5 - n);
                broken.addBatch();
            }
            fails("22012", () -> {
                try {
                    return broken.executeBatch();
                } catch (BatchUpdateException error) {
                    throw error.getNextException() == null ? error : error.getNextException();
                }
            });
        }
        conn.rollback();
        own(bodies(conn, "SELECT body FROM note"));
    }

    static void inspect(Connection conn) throws Exception {
        List<String> names = new ArrayList<>();
        try (ResultSet columns = conn.getMetaData().getColumns(null, null, "note", null)) {
            while (columns.next()) {
                names.add(columns.getString("COLUMN_NAME"));
            }
        }
        holds(names.containsAll(List.of("tenant_id", "id", "body", "at", "data")), "columns: " + names);
    }

    static void crowd() throws Exception {
        var pool = Executors.newFixedThreadPool(8);
        List<Future<Void>> all = new ArrayList<>();
        for (int n = 0; n < 8; n++) {
            String body = mark + " " + n;
            Callable<Void> work = () -> {
                try (Connection conn = connect()) {
                    conn.setAutoCommit(false);
                    for (int turn = 0; turn < 20; turn++) {
                        own(bodies(conn, "SELECT body FROM note WHERE body NOT LIKE 'client %'"));
                        update(conn, "INSERT INTO note (body) VALUES ('" + body + "')");
                        update(conn, "DELETE FROM note WHERE body = '" + body + "'");
                        conn.commit();
                    }
                }
                return null;
            };
            all.add(pool.submit(work));
        }
        for (Future<Void> one : all) {
            one.get();
        }
        pool.shutdown();
    }
}
