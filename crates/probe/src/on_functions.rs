//! Probes that call: every function and procedure that the login may execute, with generated arguments, and every
//! domain whose default or check might say something.
//!
//! Pure. An argument may be a canary of the other tenant, which a function is allowed to echo: the canaries said are
//! noted, and all the others still count.

use crate::model::{Base, CatalogModel, Function};
use crate::pen::Pen;
use crate::report::Verb;
use crate::search::Needle;
use crate::statement::{Judge, Statement, Target};

/// Calls of one function: no argument more is tried than these.
const CALLS: usize = 8;

/// Calls of all functions and uses of all domains.
pub(crate) fn targets(model: &CatalogModel, victim: &str, needles: &[Needle]) -> Vec<Target> {
    let mut list: Vec<Target> = model.functions.iter().map(|function| calls(function, victim, needles)).collect();
    for domain in &model.domains {
        let mut pen = Pen::new("SELECT ");
        pen.cast(None, domain);
        let object = ["domain ", domain.schema.as_str(), ".", domain.name.as_str()].concat();
        list.push(Target { object, probes: vec![Statement::new(Verb::Call, pen.done())] });
    }
    list
}

fn calls(function: &Function, victim: &str, needles: &[Needle]) -> Target {
    let mut probes = Vec::new();
    for turn in 0..CALLS {
        let values: Vec<Option<String>> =
            function.arguments.iter().map(|(_, base)| argument(base, turn, victim, needles)).collect();
        if turn > 0 && function.arguments.is_empty() {
            break;
        }
        let mut pen = Pen::new(if function.procedure { "CALL " } else { "SELECT * FROM " });
        pen.full(&function.schema, &function.name).put("(");
        for (index, ((ty, base), value)) in function.arguments.iter().zip(&values).enumerate() {
            pen.put(if index > 0 { ", " } else { "" });
            let polymorphic = matches!(base, Base::Other(name) if name.starts_with("any"));
            match (polymorphic, value) {
                (true, _) => pen.put("'x'::text"),
                (false, value) => pen.cast(value.as_deref(), ty),
            };
        }
        pen.put(")");
        if !function.procedure {
            pen.put(" AS tenantry_row LIMIT 1000");
        }
        let spoken = values.into_iter().flatten().collect();
        probes.push(Statement::new(Verb::Call, pen.done()).judged(Judge::Canary).speaking(spoken));
    }
    probes.dedup_by(|left, right| left.sql == right.sql);
    let kind = if function.procedure { "procedure " } else { "function " };
    Target { object: [kind, &function.signature].concat(), probes }
}

/// The argument of one turn.
fn argument(base: &Base, turn: usize, victim: &str, needles: &[Needle]) -> Option<String> {
    let text = |index: usize| {
        let fits =
            |needle: &&Needle| needle.text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        needles.iter().filter(fits).nth(index).map(|needle| needle.text.clone())
    };
    let number = |index: usize| {
        let fits = |needle: &&Needle| needle.text.len() <= 9 && needle.text.bytes().all(|byte| byte.is_ascii_digit());
        needles.iter().filter(fits).nth(index).map(|needle| needle.text.clone())
    };
    let id = |index: usize| needles.iter().filter(|needle| needle.text.len() == 36).nth(index).map(|n| n.text.clone());
    match (base, turn) {
        (_, 1) => None,
        (Base::Uuid, 0 | 2) => Some(victim.to_owned()),
        (Base::Uuid, turn) => id(turn - 3),
        (Base::Text(_), 0) => Some("%".to_owned()),
        (Base::Text(_), 2) => Some(String::new()),
        (Base::Text(_), 3) => Some(victim.to_owned()),
        (Base::Text(_), turn) => text(turn - 4),
        (Base::Int(_), 0) => Some("1".to_owned()),
        (Base::Int(digits), turn) if *digits >= 9 => number(turn - 2),
        (Base::Int(_), _) => Some("0".to_owned()),
        (Base::Bool, turn) => Some((turn % 2 == 0).to_string()),
        (Base::Json, _) => Some("{}".to_owned()),
        (Base::Array(_), _) => Some("{}".to_owned()),
        (Base::Enum(labels), turn) => labels.get(turn % labels.len().max(1)).cloned(),
        _ => None,
    }
}
