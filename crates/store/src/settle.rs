//! The statements with which a commit writes everything that is known by then: changed rows, versions made, entries,
//! events, deliveries of the events to webhooks, what streams have to publish, notes of those that people may be told of, and the
//! heads of their chains.
//!
//! One tenant with one entry is the usual case and has a statement of its own that does all of it. It takes values,
//! so that its plan is made once; many tenants go as arrays, for which the server plans anew each time.

use std::collections::BTreeSet;

use tenantry_domain::id::TenantId;

use crate::chain::{Head, Numbered};
use crate::line::Statement;
use crate::row::{self, Columns, row_arrays, row_names};
use crate::scope::Subject;
use crate::streams::note_lines;
use crate::tenants::TenantRow;
use crate::webhooks::fan_out;
use crate::write::{Locked, WriteTx};

const ONE: &str = concat!(
    "
    WITH settled AS (
        UPDATE tenantry.tenant SET
            slug = $5, slug_skeleton = $6, display_name = $7, words = $8, app = $9, plan = $10, region = $11,
            cell = $12, isolation = $13, placement_generation = $14, version = $15, observed_version = $16,
            app_version = $17, requested = $18, phase = $19, state = $20, spec = $21, conditions = $22,
            failed_version = $23, failure = $24, findings = $25, repairable = $26, weight = $27,
            delete_not_before = $28, activated_at = $29, suspended_at = $30, archived_at = $31, purge_after = $32,
            deleted_at = $33, is_unsettled = $34, updated_at = $2,
            audit_seq = $37, audit_head = $38, event_seq = $39
        WHERE env = $1 AND id = $4
    ), history AS (
        INSERT INTO tenantry.tenant_version (env, tenant, version, slug, spec, author, action, at, correlation_id)
        SELECT $1, $4, $15, $5, $21, $3, $35, $2, $36 WHERE $35::text IS NOT NULL
    ), told AS (
        INSERT INTO tenantry.outbox (env, at, subject, sequence, id, type, version, correlation_id, causation_id, data)
        SELECT $1, $2, * FROM
            unnest($47::uuid[], $48::bigint[], $49::uuid[], $50::text[], $51::bigint[], $52::text[], $53::text[], $54::jsonb[])
        RETURNING subject, sequence, id, type, data
    ), ",
    fan_out!(),
    ", ",
    note_lines!(),
    "
    INSERT INTO tenantry.audit (env, at, subject, seq, entry, hash, action, category, outcome, actor, correlation_id)
    VALUES ($1, $2, $4, $40, $41, $38, $42, $43, $44, $45, $46)"
);

const MANY: &str = concat!(
    "WITH n AS (SELECT * FROM ",
    row_arrays!(),
    ", $35::text[], $36::text[], $37::bigint[], $38::bytea[], $39::bigint[]) AS n (",
    row_names!(),
    ", action, correlation_id, audit_seq, audit_head, event_seq)), settled AS (
        UPDATE tenantry.tenant AS t SET
            slug = n.slug, slug_skeleton = n.slug_skeleton, display_name = n.display_name, words = n.words,
            app = n.app, plan = n.plan, region = n.region, cell = n.cell, isolation = n.isolation,
            placement_generation = n.placement_generation, version = n.version,
            observed_version = n.observed_version, app_version = n.app_version, requested = n.requested,
            phase = n.phase, state = n.state, spec = n.spec, conditions = n.conditions,
            failed_version = n.failed_version, failure = n.failure, findings = n.findings,
            repairable = n.repairable, weight = n.weight, delete_not_before = n.delete_not_before,
            activated_at = n.activated_at, suspended_at = n.suspended_at, archived_at = n.archived_at,
            purge_after = n.purge_after, deleted_at = n.deleted_at, is_unsettled = n.is_unsettled, updated_at = $2,
            audit_seq = n.audit_seq, audit_head = n.audit_head, event_seq = n.event_seq
        FROM n WHERE t.env = $1 AND t.id = n.id
    )
    INSERT INTO tenantry.tenant_version (env, tenant, version, slug, spec, author, action, at, correlation_id)
    SELECT $1, id, version, slug, spec, $3, action, $2, correlation_id FROM n WHERE action IS NOT NULL"
);

const AUDIT: &str = "
    INSERT INTO tenantry.audit (env, at, subject, seq, entry, hash, action, category, outcome, actor, correlation_id)
    SELECT $1, $2, * FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[])";

const OUTBOX: &str = concat!(
    "WITH told AS (
        INSERT INTO tenantry.outbox (env, at, subject, sequence, id, type, version, correlation_id, causation_id, data)
        SELECT $1, $2, * FROM unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::bigint[], $8::text[], $9::text[],
            $10::jsonb[])
        RETURNING subject, sequence, id, type, data
    ), ",
    fan_out!(),
    ", ",
    note_lines!(),
    " SELECT"
);

const ADVANCE: &str = "
    UPDATE tenantry.tenant AS t SET audit_seq = n.audit_seq, audit_head = n.audit_head, event_seq = n.event_seq
    FROM unnest($2::uuid[], $3::bigint[], $4::bytea[], $5::bigint[]) AS n (id, audit_seq, audit_head, event_seq)
    WHERE t.env = $1 AND t.id = n.id";

const ADVANCE_ENVIRONMENT: &str =
    "UPDATE tenantry.environment SET audit_seq = $2, audit_head = $3, event_seq = $4 WHERE name = $1";

/// Runs behind the update that takes the slug, so it sees what a releaser left that the update waited for.
const NOT_QUARANTINED: &str = "
    SELECT tenantry.require(NOT EXISTS (
        SELECT FROM tenantry.slug_quarantine WHERE env = $1 AND slug_skeleton = $2 AND tenant <> $3 AND until > $4
    ), 'TN111')";

/// All that the commit writes besides what was queued, in order.
pub(crate) fn statements(tx: &WriteTx, touched: &BTreeSet<Subject>, mut numbered: Numbered) -> Vec<Statement> {
    let mut statements = Vec::new();
    let dirty: Vec<&Locked> = tx.locked.values().filter(|locked| locked.is_dirty).collect();
    let is_one = dirty.len() == 1 && numbered.is_one();
    if !dirty.is_empty() {
        statements.push(if is_one {
            let settle = numbered.bind_one(rows(tx, &dirty, Columns::of_one, ONE));
            numbered.bind_events(settle)
        } else {
            rows(tx, &dirty, Columns::of_many, MANY)
        });
    }
    for (slug, row) in dirty.iter().filter_map(|locked| Some((locked.rename.as_ref()?, &locked.row))) {
        let check = Statement::new(NOT_QUARANTINED).bind(tx.env()).bind(slug.skeleton());
        statements.push(check.bind(row.id.uuid()).bind(tx.now));
    }
    statements.extend(heads(tx, touched));
    if !is_one {
        let has_events = numbered.has_events();
        statements.push(numbered.bind_audit(Statement::new(AUDIT).bind(tx.env()).bind(tx.now)));
        if has_events {
            statements.push(numbered.bind_events(Statement::new(OUTBOX).bind(tx.env()).bind(tx.now)));
        }
    }
    statements
}

/// The changed rows, with the heads of their chains and the versions made.
fn rows(tx: &WriteTx, dirty: &[&Locked], columns: fn(Statement) -> Columns, sql: &'static str) -> Statement {
    let rows: Vec<&TenantRow> = dirty.iter().map(|locked| &locked.row).collect();
    let history = || dirty.iter().map(|locked| locked.made.as_ref().and_then(|made| made.history.as_ref()));
    let heads = || rows.iter().filter_map(|row| tx.heads.get(&row.id.into()));
    columns(Statement::new(sql).bind(tx.env()).bind(tx.now).bind(tx.actor.to_string()))
        .rows(&rows)
        .add(history().map(|history| history.map(|(action, _)| action.clone())))
        .add(history().map(|history| history.map(|(_, correlation_id)| correlation_id.clone())))
        .add(heads().map(|head| head.audit_seq))
        .add(heads().map(|head| head.hash.to_vec()))
        .add(heads().map(|head| head.event_seq))
        .into_statement()
}

/// The heads of chains whose rows have not changed otherwise.
fn heads(tx: &WriteTx, touched: &BTreeSet<Subject>) -> Vec<Statement> {
    let mut statements = Vec::new();
    let is_clean = |id: &TenantId| tx.locked.get(id).is_none_or(|locked| !locked.is_dirty);
    let clean: Vec<TenantId> = touched.iter().filter_map(|subject| subject.tenant()).filter(is_clean).collect();
    if !clean.is_empty() {
        let heads: Vec<&Head> = clean.iter().filter_map(|id| tx.heads.get(&(*id).into())).collect();
        let advance = Statement::new(ADVANCE)
            .bind(tx.env())
            .bind(row::uuids(&clean))
            .bind(heads.iter().map(|head| head.audit_seq).collect::<Vec<_>>())
            .bind(heads.iter().map(|head| head.hash.to_vec()).collect::<Vec<_>>())
            .bind(heads.iter().map(|head| head.event_seq).collect::<Vec<_>>());
        statements.push(advance);
    }
    if let Some(head) = tx.heads.get(&Subject::Environment) {
        let advance = Statement::new(ADVANCE_ENVIRONMENT).bind(tx.env()).bind(head.audit_seq);
        statements.push(advance.bind(head.hash.to_vec()).bind(head.event_seq));
    }
    statements
}
