//! SIGKILL at every point.
//!
//! A lane is one world. Its tenants are prepared in one go; then each case starts a process that dies at one point of
//! one tenant's run, and the process of the next case, which is armed for another tenant, recovers the run. What a
//! claim finds on its way into the middle of a run is reached by two deaths: the first before the step's intent.

use std::time::{Duration, Instant};

use tenantry_control::engine::fault::{Phase, Point, all};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::{Definition, Direction, Kind};

use crate::digest::Digest;
use crate::points::falls;
use crate::report::{report_figures, report_hit};
use crate::verdict::{Allowed, End, check_all, judge};
use crate::world::drive::{NEIGHBOUR, state_before};
use crate::world::manifests::LEVELS;
use crate::world::{Serve, Tuning, World};

/// One point at one level.
pub struct Case {
    pub point: Point,
    pub level: Isolation,
    pub slug: String,
}

impl Case {
    /// The points at which processes die, one after the other.
    pub fn deaths(&self) -> Vec<Point> {
        let first = Definition::newest(self.point.kind).steps[0].name;
        let is_entered = self.point.direction == Direction::Do && self.point.step == first;
        if self.point.phase == Phase::Claimed && !is_entered {
            return vec![Point { phase: Phase::IntentOpen, ..self.point }, self.point];
        }
        vec![self.point]
    }

    pub fn faults(&self, death: Point) -> Vec<(&'static str, String)> {
        let mut faults = vec![("TENANTRY_FAULT", format!("{death}@{}", self.slug))];
        if self.point.direction == Direction::Undo {
            faults.push(("TENANTRY_FAIL", format!("{}:permanent@{}", last_step(self.point.kind), self.slug)));
        }
        faults
    }

    fn end(&self) -> End {
        match falls(&self.point) {
            "forward" => End::Completed,
            _ => End::Unwound,
        }
    }
}

/// The step whose failure turns a run round after all others had their effect.
pub fn last_step(kind: Kind) -> String {
    let last = Definition::newest(kind).steps.last().unwrap();
    format!("{kind}/{}/{}", last.name, Direction::Do)
}

/// What was wanted on the command line.
pub fn is_wanted(kind: Kind, level: Isolation) -> bool {
    let is = |variable: &str, value: &str| {
        std::env::var(variable).map_or(true, |wanted| wanted.is_empty() || wanted == value)
    };
    is("TENANTRY_KILL_ONLY", kind.as_str()) && is("TENANTRY_KILL_LEVEL", &level.to_string())
}

/// Whether every point is taken at every level.
pub fn is_full() -> bool {
    std::env::var("TENANTRY_KILL_FULL").is_ok_and(|value| value == "1")
}

/// Onboarding and deleting at each level; the others go round the levels, point by point.
fn cases(kind: Kind, levels: &[Isolation]) -> Vec<Case> {
    let points: Vec<Point> = all().into_iter().filter(|point| point.kind == kind).collect();
    let is_everywhere = matches!(kind, Kind::Onboard | Kind::Delete) || is_full();
    let mut cases = Vec::new();
    for (index, point) in points.into_iter().enumerate() {
        // Eight phases and three levels have no common divisor, so every step meets every level.
        let taken = LEVELS.into_iter().enumerate().filter(|(place, _)| is_everywhere || index % LEVELS.len() == *place);
        for (_, level) in taken.filter(|(_, level)| levels.contains(level) && is_wanted(kind, *level)) {
            cases.push(Case { point, level, slug: format!("{kind}-{level}-{index:03}") });
        }
    }
    cases
}

/// A lane's world with everything prepared, and the worlds that its cases may end in.
struct Lane {
    world: World,
    kind: Kind,
    allowed: Vec<(Isolation, Allowed)>,
    neighbour: Digest,
}

impl Lane {
    async fn prepare(kind: Kind, cases: &[Case]) -> Self {
        let mut tuning = Tuning::default();
        if kind == Kind::Repair {
            tuning.sweep = Duration::from_millis(100);
        }
        if kind == Kind::Onboard {
            // As in production: some find their place ready made, others have to wait for theirs.
            (tuning.schemas, tuning.databases) = (1, 1);
        }
        let world = World::new(tuning).await;
        let serve = world.serve(&[]).await;
        world.lay_foundation(&serve).await;
        let mut levels: Vec<Isolation> = cases.iter().map(|case| case.level).collect();
        levels.sort_by_key(|level| LEVELS.iter().position(|other| other == level));
        levels.dedup();
        let reference = |level: &Isolation| (format!("reference-{level}"), *level);
        let mut tenants: Vec<_> = levels.iter().map(reference).collect();
        tenants.extend(cases.iter().map(|case| (case.slug.clone(), case.level)));
        world.bring(&serve, &tenants, state_before(kind)).await;
        let mut allowed = Vec::new();
        for level in levels {
            allowed.push((level, undisturbed(&world, &serve, kind, &reference(&level).0, level).await));
        }
        let neighbour = world.digest(NEIGHBOUR, Isolation::Shared).await;
        serve.stop().await;
        Self { world, kind, allowed, neighbour }
    }

    fn allowed(&self, level: Isolation) -> &Allowed {
        &self.allowed.iter().find(|(known, _)| *known == level).unwrap().1
    }

    /// Starts a process for each death of a case, asks for the work with the first, and sees each of them die there.
    /// `before` is judged as soon as the first process is up.
    async fn kill(&self, number: usize, case: &Case, before: Option<&Case>, wrong: &mut Vec<String>) {
        for (index, death) in case.deaths().into_iter().enumerate() {
            let mut environment = case.faults(death);
            if number % 2 == 1 {
                // Every other process puts nothing on the shelf, so that places are also made when they are needed.
                environment
                    .extend(["TENANTRY_READY_SCHEMAS", "TENANTRY_READY_DATABASES"].map(|name| (name, "0".to_owned())));
            }
            let mut serve = self.world.start(&environment);
            // The second death may come before the process is ready: its claim is all that it takes.
            if index == 0 {
                serve.ready().await;
                if let Some(before) = before {
                    self.judge(before, wrong).await;
                }
                self.world.ask(&serve, self.kind, &case.slug, case.level).await;
            }
            let hit = died_at(&self.world, &mut serve, &death).await;
            match hit {
                Ok(()) => {}
                Err(what) => {
                    wrong.push(format!(
                        "{} {}: {death} was not hit: {what}\n{}",
                        case.point,
                        case.level,
                        self.world.dump(std::slice::from_ref(&case.slug)).await
                    ));
                    return;
                }
            }
        }
    }

    async fn judge(&self, case: &Case, wrong: &mut Vec<String>) {
        let label = format!("{} {}", case.point, case.level);
        if let Err(what) = self.world.quiet(std::slice::from_ref(&case.slug)).await {
            wrong.push(format!("{label}: {what}"));
            return;
        }
        let found = judge(&self.world, &case.slug, case.level, self.kind, case.end(), self.allowed(case.level)).await;
        if !found.is_empty() {
            let dump = self.world.dump(std::slice::from_ref(&case.slug)).await;
            wrong.push(format!("{label}: {}\n{dump}", found.join("\n")));
        }
    }
}

/// Waits for the death of a process, which must be at this point.
pub async fn died_at(world: &World, serve: &mut Serve, death: &Point) -> Result<(), String> {
    serve.killed().await?;
    let hit = world.last_kill().unwrap_or_default();
    if hit != death.to_string() {
        return Err(format!("the process died at {hit}"));
    }
    report_hit(death);
    Ok(())
}

/// Runs a kind without any fault and gives the worlds before and after.
pub async fn undisturbed(world: &World, serve: &Serve, kind: Kind, slug: &str, level: Isolation) -> Allowed {
    let slugs = [slug.to_owned()];
    let intact = world.digest(slug, level).await;
    world.ask(serve, kind, slug, level).await;
    if kind == Kind::Repair {
        // What was damaged has to be seen first, by the sweep.
        let tenant = world.tenant(slug).await.id;
        let until = Instant::now() + crate::world::PATIENCE;
        while world.run(tenant, kind.as_str()).await.is_none() {
            assert!(Instant::now() < until, "the drift is not found\n{}", world.dump(&slugs).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    world.quiet(&slugs).await.unwrap_or_else(|error| panic!("{kind} {level}: {error}"));
    let after = world.digest(slug, level).await;
    assert!(intact.len() > 0 && after.len() > 0, "{kind} {level}: a digest of nothing shows nothing");
    if kind == Kind::Repair {
        assert_eq!(after.difference(&intact), None, "{level}: a repair brings back what was");
    } else if (kind, level) != (Kind::Update, Isolation::Shared) {
        // At the shared level a plan's limits are kept by whoever connects, not by the server.
        assert!(after.difference(&intact).is_some(), "{kind} {level} changes nothing that could be seen");
    }
    Allowed { before: intact, after }
}

async fn sweep(kind: Kind, levels: &[Isolation]) {
    let cases = cases(kind, levels);
    if cases.is_empty() {
        return;
    }
    let began = Instant::now();
    let lane = Lane::prepare(kind, &cases).await;
    let prepared = began.elapsed();
    let mut wrong = Vec::new();
    let mut before = None;
    for (number, case) in cases.iter().enumerate() {
        lane.kill(number, case, before, &mut wrong).await;
        before = Some(case);
    }
    let serve = lane.world.serve(&[]).await;
    lane.judge(before.unwrap(), &mut wrong).await;
    wrong.extend(check_all(&lane.world).await.into_iter().map(|what| format!("in the end: {what}")));
    let neighbour = lane.world.digest(NEIGHBOUR, Isolation::Shared).await;
    wrong.extend(neighbour.difference(&lane.neighbour).map(|what| format!("the neighbour is not as it was:\n{what}")));
    serve.stop().await;
    let ready = lane.world.ready_made().await;
    let each = (began.elapsed() - prepared).as_secs_f64() / f64::from(u32::try_from(cases.len()).unwrap());
    report_figures(&format!(
        "{kind} {}: {} cases, prepared in {:.1} s, {each:.2} s each, {ready} places were ready made, {} wrong",
        levels.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"),
        cases.len(),
        prepared.as_secs_f64(),
        wrong.len()
    ));
    assert!(wrong.is_empty(), "{} of {} cases of {kind}:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

#[tokio::test]
async fn onboard_shared() {
    sweep(Kind::Onboard, &[Isolation::Shared]).await;
}

#[tokio::test]
async fn onboard_schema() {
    sweep(Kind::Onboard, &[Isolation::Schema]).await;
}

#[tokio::test]
async fn onboard_database() {
    sweep(Kind::Onboard, &[Isolation::Database]).await;
}

#[tokio::test]
async fn update() {
    sweep(Kind::Update, &LEVELS).await;
}

#[tokio::test]
async fn suspend() {
    sweep(Kind::Suspend, &LEVELS).await;
}

#[tokio::test]
async fn resume() {
    sweep(Kind::Resume, &LEVELS).await;
}

#[tokio::test]
async fn archive() {
    sweep(Kind::Archive, &LEVELS).await;
}

#[tokio::test]
async fn restore() {
    sweep(Kind::Restore, &LEVELS).await;
}

#[tokio::test]
async fn delete() {
    sweep(Kind::Delete, &LEVELS).await;
}

#[tokio::test]
async fn repair() {
    sweep(Kind::Repair, &LEVELS).await;
}

/// A definition without a lane would never be killed.
#[test]
fn every_definition_has_a_lane() {
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, ["onboard", "update", "suspend", "resume", "archive", "restore", "delete", "repair"]);
}
