/* libpq's pipeline mode, single-row mode, COPY, cancel and notices, from C.
 *
 * Each check is a function on a connection of its own; `need` leaves it with what was seen instead. The last line of the
 * output is the report, one JSON object. Build: cc -std=c11 -Wall -Wextra -Werror -o pipeline pipeline.c -lpq
 */
#define _POSIX_C_SOURCE 200809L
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 3, LARGE_ROWS = 100000, LARGE_TEXT = 5000000, DEPTH = 500 };

static char problem[600];
static char mark[100];
static char heard[200];

static bool complain(const char *form, ...) __attribute__((format(printf, 1, 2)));

static bool complain(const char *form, ...)
{
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(problem, sizeof problem, form, arguments);
    va_end(arguments);
    return false;
}

#define need(fine, ...) do { if (!(fine)) return complain(__VA_ARGS__); } while (0)

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* As `need`, where what failed has said why. */
#define pass(fine) do { if (!(fine)) return false; } while (0)

/* Takes the next result, which must have this status; frees it unless it is wanted. */
static bool next(PGconn *conn, ExecStatusType wanted, PGresult **keep)
{
    PGresult *result = PQgetResult(conn);
    need(result != NULL, "no result instead of %s", PQresStatus(wanted));
    ExecStatusType got = PQresultStatus(result);
    if (got != wanted) {
        complain("%s instead of %s: %s", PQresStatus(got), PQresStatus(wanted), PQresultErrorMessage(result));
        PQclear(result);
        return false;
    }
    if (keep != NULL)
        *keep = result;
    else
        PQclear(result);
    return true;
}

static bool ended(PGconn *conn)
{
    PGresult *result = PQgetResult(conn);
    need(result == NULL, "a result too many: %s %s", PQresStatus(PQresultStatus(result)), PQresultErrorMessage(result));
    return true;
}

static bool run(PGconn *conn, const char *sql, ExecStatusType wanted)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType got = PQresultStatus(result);
    if (got != wanted)
        complain("%s: %s instead of %s: %s", sql, PQresStatus(got), PQresStatus(wanted), PQresultErrorMessage(result));
    PQclear(result);
    return got == wanted;
}

/* Runs what must fail with this SQLSTATE. */
static bool fails(PGconn *conn, const char *sql, const char *wanted)
{
    PGresult *result = PQexec(conn, sql);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool fine = state != NULL && strcmp(state, wanted) == 0;
    if (!fine)
        complain("%s: %s instead of %s", sql, state ? state : "no error", wanted);
    PQclear(result);
    return fine;
}

/* Whether the place is said to have this feature. */
static bool has(const char *feature)
{
    const char *features = getenv("CLIENT_FEATURES");
    return features != NULL && strstr(features, feature) != NULL;
}

/* Whether a result holds the rows of this tenant and of nobody else. */
static bool own(PGresult *result)
{
    bool is_seen = false;
    for (int row = 0; row < PQntuples(result); row++) {
        const char *body = PQgetvalue(result, row, 0);
        need(strstr(body, getenv("NOTE_FOREIGN")) == NULL, "a row of another tenant is seen");
        is_seen |= strstr(body, getenv("NOTE_OWN")) != NULL;
    }
    need(PQntuples(result) == ROWS, "%d rows instead of %d", PQntuples(result), ROWS);
    need(is_seen, "the own row is not seen");
    return true;
}

static bool own_rows(PGconn *conn)
{
    const char *ways[] = {"SELECT body FROM note", "SELECT body FROM note WHERE id >= 0"};
    for (int way = 0; way < 2; way++) {
        PGresult *result = way ? PQexecParams(conn, ways[way], 0, NULL, NULL, NULL, NULL, 1) : PQexec(conn, ways[way]);
        need(PQresultStatus(result) == PGRES_TUPLES_OK, "%s", PQresultErrorMessage(result));
        bool fine = own(result);
        PQclear(result);
        pass(fine);
    }
    return true;
}

static bool pipeline(PGconn *conn)
{
    need(PQenterPipelineMode(conn) == 1, "no pipeline mode");
    for (int n = 0; n < DEPTH; n++) {
        char number[16];
        snprintf(number, sizeof number, "%d", n);
        const char *values[] = {number};
        need(PQsendQueryParams(conn, "SELECT count(*), $1::int FROM note", 1, NULL, values, NULL, NULL, 0), "not sent");
    }
    need(PQpipelineSync(conn), "no sync");
    for (int n = 0; n < DEPTH; n++) {
        PGresult *result;
        pass(next(conn, PGRES_TUPLES_OK, &result));
        bool fine = atoi(PQgetvalue(result, 0, 0)) == ROWS && atoi(PQgetvalue(result, 0, 1)) == n;
        PQclear(result);
        need(fine, "answer %d is another one", n);
        pass(ended(conn));
    }
    pass(next(conn, PGRES_PIPELINE_SYNC, NULL));
    need(PQexitPipelineMode(conn) == 1, "pipeline mode is not left: %s", PQerrorMessage(conn));
    return own_rows(conn);
}

static bool transactions(PGconn *conn)
{
    char insert[200];
    snprintf(insert, sizeof insert, "INSERT INTO note (body) VALUES ('%s')", mark);
    /* Two transactions and statements of their own between them, with one sync at the end. */
    const char *all[] = {"BEGIN", insert, "SELECT count(*) FROM note", "ROLLBACK", "SELECT count(*) FROM note",
                         "BEGIN", "SELECT count(*) FROM note", "COMMIT",
                         "SELECT count(*) FROM note"};
    const int counts[] = {-1, -1, ROWS + 1, -1, ROWS, -1, ROWS, -1, ROWS};
    need(PQenterPipelineMode(conn) == 1, "no pipeline mode");
    for (int n = 0; n < 9; n++)
        need(PQsendQueryParams(conn, all[n], 0, NULL, NULL, NULL, NULL, 0), "not sent");
    need(PQpipelineSync(conn), "no sync");
    for (int n = 0; n < 9; n++) {
        PGresult *result;
        pass(next(conn, counts[n] < 0 ? PGRES_COMMAND_OK : PGRES_TUPLES_OK, &result));
        int got = counts[n] < 0 ? -1 : atoi(PQgetvalue(result, 0, 0));
        PQclear(result);
        need(got == counts[n], "%s (%d): %d instead of %d", all[n], n, got, counts[n]);
        pass(ended(conn));
    }
    pass(next(conn, PGRES_PIPELINE_SYNC, NULL));
    need(PQexitPipelineMode(conn) == 1, "pipeline mode is not left");
    return own_rows(conn);
}

static bool error_in_pipeline(PGconn *conn)
{
    need(PQenterPipelineMode(conn) == 1, "no pipeline mode");
    const char *all[] = {"SELECT body FROM note", "SELECT 1 / 0", "SELECT body FROM note"};
    for (int turn = 0; turn < 2; turn++) {
        for (int n = 0; n < 3; n++)
            need(PQsendQueryParams(conn, all[n], 0, NULL, NULL, NULL, NULL, 0), "not sent");
        need(PQpipelineSync(conn), "no sync");
    }
    for (int turn = 0; turn < 2; turn++) {
        const ExecStatusType wanted[] = {PGRES_TUPLES_OK, PGRES_FATAL_ERROR, PGRES_PIPELINE_ABORTED};
        for (int n = 0; n < 3; n++) {
            PGresult *result;
            pass(next(conn, wanted[n], &result));
            bool fine = n > 0 || own(result);
            PQclear(result);
            pass(fine);
            pass(ended(conn));
        }
        pass(next(conn, PGRES_PIPELINE_SYNC, NULL));
    }
    need(PQexitPipelineMode(conn) == 1, "pipeline mode is not left");
    return own_rows(conn);
}

/* What is sent between an error that was answered and the Sync is ignored, a prepared statement too. */
static bool error_before_sync(PGconn *conn)
{
    need(PQenterPipelineMode(conn) == 1, "no pipeline mode");
    for (int turn = 0; turn < 3; turn++) {
        need(PQsendQueryParams(conn, "SELECT 1 / 0", 0, NULL, NULL, NULL, NULL, 0), "not sent");
        need(PQsendFlushRequest(conn) && PQflush(conn) == 0, "no flush");
        pass(next(conn, PGRES_FATAL_ERROR, NULL) && ended(conn));
        need(PQsendPrepare(conn, "ignored", "SELECT body FROM note", 0, NULL), "not sent");
        need(PQsendQueryPrepared(conn, "ignored", 0, NULL, NULL, NULL, 0), "not sent");
        need(PQsendFlushRequest(conn) && PQflush(conn) == 0, "no flush");
        for (int n = 0; n < 2; n++)
            pass(next(conn, PGRES_PIPELINE_ABORTED, NULL) && ended(conn));
        pass(PQpipelineSync(conn) && next(conn, PGRES_PIPELINE_SYNC, NULL));
    }
    need(PQexitPipelineMode(conn) == 1, "pipeline mode is not left");
    PGresult *late = PQexecPrepared(conn, "ignored", 0, NULL, NULL, NULL, 0);
    const char *state = PQresultErrorField(late, PG_DIAG_SQLSTATE);
    bool fine = state != NULL && strcmp(state, "26000") == 0;
    PQclear(late);
    need(fine, "a statement that was ignored is there");
    return own_rows(conn);
}

static bool flush_without_sync(PGconn *conn)
{
    need(PQenterPipelineMode(conn) == 1, "no pipeline mode");
    for (int n = 0; n < 3; n++) {
        PGresult *result;
        need(PQsendQueryParams(conn, "SELECT body FROM note", 0, NULL, NULL, NULL, NULL, 0), "not sent");
        need(PQsendFlushRequest(conn) && PQflush(conn) == 0, "no flush");
        pass(next(conn, PGRES_TUPLES_OK, &result));
        bool fine = own(result);
        PQclear(result);
        pass(fine);
        pass(ended(conn));
    }
    pass(PQpipelineSync(conn) && next(conn, PGRES_PIPELINE_SYNC, NULL));
    need(PQexitPipelineMode(conn) == 1, "pipeline mode is not left");
    return true;
}

static bool prepared(PGconn *conn)
{
    need(PQenterPipelineMode(conn) == 1, "no pipeline mode");
    need(PQsendPrepare(conn, "own", "SELECT body FROM note WHERE id <> $1::int8", 1, NULL), "not sent");
    need(PQsendPrepare(conn, "number", "SELECT $1::int + 1", 1, NULL), "not sent");
    need(PQsendDescribePrepared(conn, "own"), "not sent");
    for (int n = 0; n < 20; n++) {
        char number[16];
        snprintf(number, sizeof number, "%d", -n - 1);
        const char *values[] = {number};
        need(PQsendQueryPrepared(conn, "own", 1, values, NULL, NULL, 0), "not sent");
        need(PQsendQueryPrepared(conn, "number", 1, values, NULL, NULL, 0), "not sent");
    }
    need(PQpipelineSync(conn), "no sync");
    for (int n = 0; n < 3; n++)
        pass(next(conn, PGRES_COMMAND_OK, NULL) && ended(conn));
    for (int n = 0; n < 20; n++) {
        PGresult *result;
        pass(next(conn, PGRES_TUPLES_OK, &result));
        bool fine = own(result);
        PQclear(result);
        pass(fine && ended(conn));
        pass(next(conn, PGRES_TUPLES_OK, &result));
        fine = atoi(PQgetvalue(result, 0, 0)) == -n;
        PQclear(result);
        need(fine && ended(conn), "another number");
    }
    pass(next(conn, PGRES_PIPELINE_SYNC, NULL));
    need(PQexitPipelineMode(conn) == 1, "pipeline mode is not left");
    PGresult *late = PQexecPrepared(conn, "nobody", 0, NULL, NULL, NULL, 0);
    const char *state = PQresultErrorField(late, PG_DIAG_SQLSTATE);
    bool fine = state != NULL && strcmp(state, "26000") == 0;
    PQclear(late);
    need(fine, "a name that nobody prepared is not 26000");
    return own_rows(conn);
}

static bool large_result(PGconn *conn)
{
    char sql[100];
    snprintf(sql, sizeof sql, "SELECT n, body FROM generate_series(1, %d) AS n, note WHERE id >= 0", LARGE_ROWS / ROWS);
    need(PQsendQuery(conn, sql) && PQsetSingleRowMode(conn), "not sent");
    int rows = 0;
    for (PGresult *result; (result = PQgetResult(conn)) != NULL; PQclear(result)) {
        ExecStatusType status = PQresultStatus(result);
        need(status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK, "%s", PQresultErrorMessage(result));
        rows += status == PGRES_SINGLE_TUPLE;
    }
    need(rows == LARGE_ROWS / ROWS * ROWS, "%d rows", rows);
    return true;
}

static bool large_text(PGconn *conn)
{
    char *text = malloc(LARGE_TEXT + 1);
    need(text != NULL, "no memory");
    memset(text, 'x', LARGE_TEXT);
    text[LARGE_TEXT] = 0;
    const char *values[] = {text};
    PGresult *result = PQexecParams(conn, "SELECT $1::text", 1, NULL, values, NULL, NULL, 1);
    bool fine = PQresultStatus(result) == PGRES_TUPLES_OK && PQgetlength(result, 0, 0) == LARGE_TEXT;
    if (!fine)
        complain("the text does not come back: %s", PQresultErrorMessage(result));
    PQclear(result);
    free(text);
    return fine;
}

static bool copy_out(PGconn *conn, int wanted)
{
    pass(run(conn, "COPY (SELECT body FROM note) TO STDOUT", PGRES_COPY_OUT));
    int lines = 0;
    char *line;
    while (PQgetCopyData(conn, &line, 0) > 0) {
        lines++;
        PQfreemem(line);
    }
    pass(next(conn, PGRES_COMMAND_OK, NULL) && ended(conn));
    need(lines == wanted, "%d lines", lines);
    return true;
}

static bool copy(PGconn *conn)
{
    pass(run(conn, "BEGIN", PGRES_COMMAND_OK));
    if (has("no-copy-from")) {
        pass(fails(conn, "COPY note (body) FROM STDIN", "0A000"));
        pass(run(conn, "ROLLBACK", PGRES_COMMAND_OK));
        return copy_out(conn, ROWS) && own_rows(conn);
    }
    pass(run(conn, "COPY note (body) FROM STDIN", PGRES_COPY_IN));
    for (int n = 0; n < 1000; n++) {
        char line[200];
        int length = snprintf(line, sizeof line, "%s %d\n", mark, n);
        need(PQputCopyData(conn, line, length) == 1, "%s", PQerrorMessage(conn));
    }
    pass(PQputCopyEnd(conn, NULL) == 1 && next(conn, PGRES_COMMAND_OK, NULL) && ended(conn));
    pass(copy_out(conn, 1000 + ROWS));
    pass(run(conn, "ROLLBACK", PGRES_COMMAND_OK));
    /* One that the client gives up in the middle. */
    pass(run(conn, "COPY note (body) FROM STDIN", PGRES_COPY_IN));
    need(PQputCopyData(conn, "half a line", 11) == 1 && PQputCopyEnd(conn, "given up") == 1, "%s", PQerrorMessage(conn));
    pass(next(conn, PGRES_FATAL_ERROR, NULL) && ended(conn));
    return own_rows(conn);
}

static bool cancel(PGconn *conn)
{
    need(PQsendQuery(conn, "SELECT pg_sleep(30)"), "not sent");
    struct timespec pause = {0, 300000000};
    nanosleep(&pause, NULL);
    char why[256] = "";
    PGcancel *handle = PQgetCancel(conn);
    double began = now();
    int sent = PQcancel(handle, why, sizeof why);
    PQfreeCancel(handle);
    need(sent, "%s", why);
    pass(next(conn, PGRES_FATAL_ERROR, NULL) && ended(conn));
    need(now() - began < 1, "a cancelled query took %.1f s", now() - began);
    return own_rows(conn);
}

static void hear(void *unused, const char *message)
{
    (void)unused;
    snprintf(heard, sizeof heard, "%s", message);
}

static bool notice(PGconn *conn)
{
    PQsetNoticeProcessor(conn, hear, NULL);
    need(run(conn, "DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; END $$", PGRES_COMMAND_OK), "%s", problem);
    need(strcmp(heard, "NOTICE:  hear this\n") == 0, "heard `%s`", heard);
    return true;
}

static bool sticky_settings(PGconn *conn)
{
    pass(run(conn, "SET TIME ZONE 'Asia/Tokyo'", PGRES_COMMAND_OK));
    for (int n = 0; n < 5; n++) {
        PGresult *result = PQexec(conn, "SHOW TimeZone");
        bool fine = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "Asia/Tokyo") == 0;
        PQclear(result);
        need(fine, "the time zone is another one");
    }
    const char *told = PQparameterStatus(conn, "TimeZone");
    need(told != NULL && strcmp(told, "Asia/Tokyo") == 0, "the client was told %s", told);
    return true;
}

/* Runs one check on a connection of its own and prints its part of the report. */
static bool check(const char *name, bool (*work)(PGconn *), bool is_first)
{
    double began = now();
    problem[0] = 0;
    PGconn *conn = PQconnectdb(getenv("DATABASE_URL"));
    bool fine = PQstatus(conn) == CONNECTION_OK ? work(conn) : complain("%s", PQerrorMessage(conn));
    PQfinish(conn);
    for (char *c = problem; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
            *c = ' ';
    printf("%s{\"name\": \"%s\", \"result\": \"%s\", \"detail\": \"%s\", \"ms\": %.1f}", is_first ? "" : ", ", name,
           fine ? "ok" : "error", fine ? "" : problem, (now() - began) * 1e3);
    return fine;
}

int main(void)
{
    const struct { const char *name; bool (*work)(PGconn *); } checks[] = {
        {"own_rows", own_rows}, {"pipeline", pipeline}, {"transactions", transactions},
        {"error_in_transaction", error_in_pipeline}, {"error_before_sync", error_before_sync},
        {"flush_without_sync", flush_without_sync}, {"prepared", prepared},
        {"copy", copy}, {"large_result", large_result}, {"large_text", large_text}, {"notice", notice}, {"cancel", cancel},
        {"sticky_settings", sticky_settings},
    };
    if (getenv("DATABASE_URL") == NULL || getenv("NOTE_OWN") == NULL || getenv("NOTE_FOREIGN") == NULL) {
        fprintf(stderr, "error: DATABASE_URL, NOTE_OWN and NOTE_FOREIGN say where and what; scripts/clients sets them\n");
        return 2;
    }
    snprintf(mark, sizeof mark, "client libpq %ld %ld", (long)time(NULL), (long)getpid());
    bool fine = true;
    printf("{\"client\": \"libpq-pipeline\", \"version\": \"%d.%d\", \"checks\": [", PQlibVersion() / 10000, PQlibVersion() % 10000);
    for (size_t n = 0; n < sizeof checks / sizeof *checks; n++)
        fine &= check(checks[n].name, checks[n].work, n == 0);
    printf("]}\n");
    return fine ? 0 : 1;
}
