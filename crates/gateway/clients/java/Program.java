import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Callable;

/**
 * What the JDBC client says and where it connects to. The runner hands the place over in libpq's variables. A check that
 * ends without an error is fine; the last line of the output is the report, one JSON object.
 */
class Program {
    interface Work {
        void run(Connection conn) throws Exception;
    }

    static final String OWN = System.getenv("NOTE_OWN");
    static final String FOREIGN = System.getenv("NOTE_FOREIGN");
    /** PostgreSQL refuses COPY FROM into a table with row-level security, whoever asks (0A000). */
    static final boolean HAS_COPY_FROM =
            !Arrays.asList(String.valueOf(System.getenv("CLIENT_FEATURES")).split(" ")).contains("no-copy-from");
    static final int ROWS = 3;
    static final int LARGE_ROWS = 100_000;
    static final int LARGE_TEXT = 5_000_000;
    static final List<String> RESULTS = new ArrayList<>();
    static final Properties SETTINGS = new Properties();
    static String url;
    static String name;
    static String mark;
    static boolean failed;

    static void settings(String[] arguments) {
        name = arguments[0];
        mark = "client " + name + " " + UUID.randomUUID();
        url = "jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/" + env("PGDATABASE");
        SETTINGS.setProperty("user", env("PGUSER"));
        SETTINGS.setProperty("password", env("PGPASSWORD"));
        SETTINGS.setProperty("connectTimeout", "10");
        SETTINGS.setProperty("sslmode", env("PGSSLMODE"));
        if (System.getenv("PGSSLROOTCERT") != null) {
            SETTINGS.setProperty("sslrootcert", env("PGSSLROOTCERT"));
        }
        if (System.getenv("PGOPTIONS") != null) {
            SETTINGS.setProperty("options", env("PGOPTIONS"));
        }
        for (String setting : Arrays.copyOfRange(arguments, 1, arguments.length)) {
            String[] parts = setting.split("=", 2);
            SETTINGS.setProperty(parts[0], parts[1]);
        }
    }

    static void report() {
        System.out.println("{\"client\": " + quoted(name) + ", \"version\": "
                + quoted(org.postgresql.util.DriverInfo.DRIVER_VERSION) + ", \"checks\": [" + String.join(", ", RESULTS) + "]}");
        System.exit(failed ? 1 : 0);
    }

    static boolean isSimple() {
        return "simple".equals(SETTINGS.getProperty("preferQueryMode"));
    }

    static Connection connect() throws SQLException {
        return DriverManager.getConnection(url, SETTINGS);
    }

    static void check(String name, Work work) {
        long began = System.nanoTime();
        String result = "ok";
        String detail = "";
        try (Connection conn = connect()) {
            work.run(conn);
        } catch (Exception | AssertionError error) {
            error.printStackTrace();
            failed = true;
            result = "error";
            detail = String.valueOf(error.getMessage());
        }
        double millis = Math.round((System.nanoTime() - began) / 1e5) / 10.0;
        RESULTS.add("{\"name\": " + quoted(name) + ", \"result\": " + quoted(result) + ", \"detail\": " + quoted(detail)
                + ", \"ms\": " + millis + "}");
    }

    static List<String> bodies(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            return column(statement.executeQuery(sql));
        }
    }

    static List<String> column(ResultSet rows) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(1));
        }
        rows.close();
        return values;
    }

    static int update(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            return statement.executeUpdate(sql);
        }
    }

    static void execute(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            statement.execute(sql);
        }
    }

    static void fails(String state, Callable<?> work) throws Exception {
        try {
            work.call();
        } catch (SQLException error) {
            same(error.getSQLState(), state, "SQLSTATE (" + error.getMessage() + ")");
            return;
        }
        throw new AssertionError(state + " was expected and nothing failed");
    }

    static void own(List<String> bodies) {
        holds(bodies.stream().noneMatch(body -> body.contains(FOREIGN)), "a row of another tenant is seen");
        same(bodies.size(), ROWS, "number of rows");
        holds(bodies.stream().anyMatch(body -> body.contains(OWN)), "the own row is not seen");
    }

    static void same(Object got, Object wanted, String what) {
        holds(got == null ? wanted == null : got.equals(wanted), what + ": " + got + " instead of " + wanted);
    }

    static void holds(boolean fine, String what) {
        if (!fine) {
            throw new AssertionError(what);
        }
    }

    static String env(String name) {
        return System.getenv(name);
    }

    static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.substring(0, Math.min(text.length(), 600)).toCharArray()) {
            out.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? " " : String.valueOf(c));
        }
        return out.append('"').toString();
    }
}
