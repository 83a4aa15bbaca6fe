//! Holds what clients noted against what is in the tables.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use uuid::Uuid;

use super::{Notes, Outcome, Said, Times};
use crate::world::{Tenant, World};

/// What a load came to. Rows that were lost, doubled or seen by a neighbour have failed the test before there is one.
#[derive(Debug, Default)]
pub struct Verdict {
    pub acknowledged: usize,
    pub refused: usize,
    pub unknown: usize,
    /// Those of the unknown that are committed.
    pub unknown_there: usize,
    pub logins: u64,
    pub errors: Said,
    pub ends: Said,
    pub closed_doors: Said,
    pub times: Times,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, refused, unknown, unknown_there, logins, .. } = self;
        write!(
            f,
            "{acknowledged} rows acknowledged, {refused} refused, {unknown} unknown ({unknown_there} of them there), 0 lost, 0 \
             twice; {logins} logins; {}; errors {:?}, idle connections ended {:?}, logins failed {:?}",
            self.times, self.errors, self.ends, self.closed_doors
        )
    }
}

/// How often both parts of a number are there.
type There = (i64, i64);
/// By client and number.
type Found = HashMap<(i32, i32), There>;

/// Compares; panics with what is wrong.
pub async fn judge(world: &World, notes: &[(Tenant, Notes)]) -> Verdict {
    let mut found = Found::new();
    let mut places: BTreeMap<(usize, String, String), ()> = BTreeMap::new();
    for tenant in &world.tenants {
        let (database, schema) = tenant.place();
        places.insert((tenant.cell, database, schema), ());
    }
    let owners: HashMap<Uuid, &str> = world.tenants.iter().map(|tenant| (tenant.id, tenant.slug.as_str())).collect();
    let mut wrong = Vec::new();
    for (cell, database, schema) in places.into_keys() {
        let client = world.on_cell(cell, &database).await;
        let sql = format!(
            "SELECT tenant_id, owner, client, n, count(*) FILTER (WHERE part = 0), count(*) FILTER (WHERE part = 1)
             FROM {schema}.note GROUP BY tenant_id, owner, client, n"
        );
        for row in client.query(&sql, &[]).await.unwrap() {
            let (tenant, owner, key): (Uuid, String, (i32, i32)) = (row.get(0), row.get(1), (row.get(2), row.get(3)));
            if owners.get(&tenant) != Some(&owner.as_str()) {
                wrong.push(format!("a row of {owner} is at tenant {tenant}"));
            }
            if found.insert(key, (row.get(4), row.get(5))).is_some() {
                wrong.push(format!("{key:?} is in two places"));
            }
        }
    }
    let verdict = compare(notes, found, &mut wrong);
    assert!(wrong.is_empty(), "{} wrong, {verdict}\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    verdict
}

/// What the notes come to, beside what is there; `wrong` gets whatever does not fit.
fn compare(notes: &[(Tenant, Notes)], mut found: Found, wrong: &mut Vec<String>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut times = Vec::new();
    for (client, (tenant, notes)) in notes.iter().enumerate() {
        if notes.foreign > 0 {
            wrong.push(format!("{} saw {} rows of others, or not its own", tenant.slug, notes.foreign));
        }
        verdict.logins += notes.logins;
        for (sum, said) in [
            (&mut verdict.errors, &notes.errors),
            (&mut verdict.ends, &notes.ends),
            (&mut verdict.closed_doors, &notes.closed_doors),
        ] {
            for (word, count) in said {
                *sum.entry(word.clone()).or_default() += count;
            }
        }
        times.extend_from_slice(&notes.times);
        for (number, outcome) in notes.outcomes.iter().enumerate() {
            let key = (i32::try_from(client).unwrap(), i32::try_from(number).unwrap());
            let there = found.remove(&key).unwrap_or_default();
            let whole = (1, i64::from(number % 2 == 1));
            let is_right = match outcome {
                Outcome::Acknowledged => there == whole,
                Outcome::Refused => there == (0, 0),
                Outcome::Unknown => there == (0, 0) || there == whole,
            };
            if !is_right {
                wrong.push(format!("{} {key:?} was {outcome:?}, and is there {there:?} times", tenant.slug));
            }
            match outcome {
                Outcome::Acknowledged => verdict.acknowledged += 1,
                Outcome::Refused => verdict.refused += 1,
                Outcome::Unknown => {
                    verdict.unknown += 1;
                    verdict.unknown_there += usize::from(there == whole);
                }
            }
        }
    }
    wrong.extend(found.keys().map(|key| format!("{key:?} is there and was never written")));
    verdict.times = Times::of(times);
    verdict
}

#[test]
fn whatever_does_not_fit_is_told() {
    use Outcome::{Acknowledged, Refused, Unknown};
    // Even numbers are one row, odd ones are two.
    let cases: [(Outcome, There, There); 3] =
        [(Acknowledged, (1, 0), (1, 1)), (Refused, (0, 0), (0, 0)), (Unknown, (1, 0), (1, 1))];
    let tenant = Tenant { slug: "one".to_owned(), level: "shared", cell: 0, password: String::new(), id: Uuid::nil() };
    let judged = |notes: Notes, found: &[((i32, i32), There)]| {
        let mut wrong = Vec::new();
        let verdict = compare(&[(tenant.clone(), notes)], found.iter().copied().collect(), &mut wrong);
        (verdict, wrong.len())
    };
    let written = |outcome| Notes { outcomes: vec![outcome, outcome], ..Notes::default() };
    for (outcome, even, odd) in cases {
        assert_eq!(judged(written(outcome), &[((0, 0), even), ((0, 1), odd)]).1, 0, "{outcome:?}");
        // Twice, half of a transaction, and what was never written.
        assert_eq!(judged(written(outcome), &[((0, 0), (2, 0)), ((0, 1), odd)]).1, 1, "{outcome:?}");
        assert_eq!(judged(written(outcome), &[((0, 0), even), ((0, 1), (1, 0))]).1, 1, "{outcome:?}");
        assert_eq!(judged(written(outcome), &[((0, 0), even), ((0, 1), odd), ((0, 2), (1, 0))]).1, 1, "{outcome:?}");
    }
    assert_eq!(judged(written(Acknowledged), &[]).1, 2, "lost");
    assert_eq!(judged(written(Refused), &[((0, 0), (1, 0)), ((0, 1), (1, 1))]).1, 2, "there, and refused");
    let (verdict, wrong) = judged(written(Unknown), &[((0, 1), (1, 1))]);
    assert_eq!((verdict.unknown, verdict.unknown_there, wrong), (2, 1, 0));
    assert_eq!(judged(Notes { foreign: 1, ..Notes::default() }, &[]).1, 1, "a neighbour's row was seen");
}
