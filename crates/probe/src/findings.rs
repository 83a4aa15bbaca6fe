//! Gathers what a run finds, one entry for things that are alike.
//!
//! INVARIANT: nothing gets in unscrubbed.

use std::collections::BTreeMap;

use crate::report::{Hit, Note, ProbeReport, Verb};
use crate::search::Canaries;
use crate::send::{Verdict, scrubbed};
use crate::statement::Statement;

/// What has been found so far.
pub(crate) struct Findings {
    pub canaries: Canaries,
    pub secrets: Vec<(String, String)>,
    pub probes: usize,
    pub executed: usize,
    pub by_verb: BTreeMap<Verb, usize>,
    pub objects: Vec<String>,
    skipped: Vec<Note>,
    notes: Vec<Note>,
    hits: Vec<Hit>,
}

impl Findings {
    pub fn new(canaries: Canaries, mut secrets: Vec<(String, String)>) -> Self {
        // The longest first, or the stem would be replaced inside of whole canaries.
        secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        let (by_verb, objects, skipped, notes, hits) = Default::default();
        Self { canaries, secrets, probes: 0, executed: 0, by_verb, objects, skipped, notes, hits }
    }

    pub fn skip(&mut self, object: &str, text: &str) {
        self.skipped.push(Note { object: object.to_owned(), text: text.to_owned() });
    }

    pub fn add(&mut self, probe: &Statement, executed: bool) {
        self.probes += 1;
        self.executed += usize::from(executed);
        *self.by_verb.entry(probe.verb).or_default() += 1;
    }

    pub fn weigh(&mut self, object: &str, probe: &Statement, verdict: Verdict) {
        match verdict {
            Verdict::Nothing => {}
            Verdict::Note(text) => {
                let note = Note { object: object.to_owned(), text };
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
            Verdict::Hit(evidence) => {
                let statement = scrubbed(&probe.sql, &self.secrets);
                self.hit(object, probe.verb, statement, &evidence);
            }
        }
    }

    /// One hit per object and verb says enough.
    pub fn hit(&mut self, object: &str, verb: Verb, statement: String, evidence: &str) {
        if !self.hits.iter().any(|hit| hit.object == object && hit.verb == verb) {
            self.hits.push(Hit { object: object.to_owned(), verb, statement, evidence: evidence.to_owned() });
        }
    }

    pub fn report(self, empty: ProbeReport) -> ProbeReport {
        let Self { probes, executed, by_verb, objects, skipped, notes, hits, .. } = self;
        ProbeReport { probes, executed, by_verb, objects, skipped, notes, hits, ..empty }
    }
}
