//! Versions of an app on their way to all tenants: waves, failures, holding, locks, and nothing twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tenantry_control::rollouts::{self, Rollout, Steer};
use tenantry_control::{Refusal, Runtime, manifests, tenants};
use tenantry_dataplane::Added;
use tenantry_domain::app::{MigrationFile, Migrations, Spec};
use tenantry_domain::code::Code;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::AppName;
use tenantry_domain::page::PageSize;
use tenantry_domain::rollout::{Canary, OnFailure, Status, Strategy, TargetStatus};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;

use crate::world::{World, catalog, spec};

fn notes() -> AppName {
    AppName::parse("notes").unwrap()
}

/// The app with further files, and how they shall reach everybody.
pub fn with(files: &[&str], rollout: Strategy) -> Vec<Manifest> {
    let app = catalog().into_iter().find_map(|manifest| match manifest {
        Manifest::App { name, spec } => Some((name, spec)),
        _ => None,
    });
    let (name, Spec { migrations: Migrations::Files { files: mut all }, tenant_key, reference_tables, .. }) =
        app.unwrap()
    else {
        panic!("the example has files")
    };
    for (place, sql) in files.iter().enumerate() {
        all.push(MigrationFile { name: format!("{:04}_more.sql", place + 2), sql: (*sql).to_owned() });
    }
    vec![Manifest::App {
        name,
        spec: Spec { migrations: Migrations::Files { files: all }, tenant_key, reference_tables, rollout },
    }]
}

pub const ADD: &str = "ALTER TABLE notes ADD COLUMN stars int NOT NULL DEFAULT 0;";
/// Fails where somebody wrote `bad`.
const PICKY: &str = "ALTER TABLE notes ADD CONSTRAINT notes_body CHECK (body <> 'bad');";

impl World {
    pub async fn newest(&self) -> Rollout {
        let size = PageSize::default();
        let page = rollouts::list(&self.cx(), &self.deps, Some("notes"), size, None).await.unwrap();
        page.items.into_iter().next().expect("a rollout")
    }

    /// Waits until the newest rollout stands where it should.
    async fn stands(&self, status: Status) -> Rollout {
        let began = Instant::now();
        loop {
            let rollout = self.newest().await;
            if rollout.row.status == status {
                return rollout;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "not {status}: {rollout:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How the targets stand; the cell's name for what is shared.
    pub async fn targets(&self, rollout: &Rollout) -> BTreeMap<String, (TargetStatus, u32)> {
        let size = PageSize::default();
        let page = rollouts::targets(&self.cx(), &self.deps, rollout.row.id, None, size, None).await.unwrap();
        page.items.into_iter().map(|row| (row.slug.unwrap_or(row.cell), (row.status, row.wave))).collect()
    }

    async fn has_column(&self, slug: &str, column: &str) -> bool {
        let tx = self.enter(slug).await.unwrap();
        let sql =
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attname = $1 AND attnum > 0";
        let count: i64 = tx.query_one(sql, &[&column]).await.unwrap().get(0);
        tx.rollback().await.unwrap();
        count == 1
    }

    async fn write(&self, slug: &str, body: &str) {
        let tx = self.enter(slug).await.unwrap();
        tx.execute("INSERT INTO notes (body) VALUES ($1)", &[&body]).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn apply(&self, manifests: &[Manifest]) {
        manifests::apply(&self.cx(), &self.deps, manifests).await.unwrap();
    }

    async fn steer(&self, rollout: &Rollout, how: Steer) -> Rollout {
        rollouts::steer(&self.cx(), &self.deps, rollout.row.id, how).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_reaches_every_level_canary_first() {
    let world = World::running().await;
    for (slug, plan) in [
        ("s-1", "starter"),
        ("s-2", "starter"),
        ("a-1", "standard"),
        ("a-2", "standard"),
        ("a-3", "standard"),
        ("d-1", "enterprise"),
    ] {
        world.active(slug, plan).await;
    }
    world.apply(&with(&[ADD], Strategy { waves: vec![50, 100], ..Strategy::default() })).await;
    let done = world.stands(Status::Completed).await;
    assert_eq!((done.row.version, done.row.base_version, done.row.waves), (2, 1, 3), "{done:#?}");
    assert_eq!(done.count(TargetStatus::Done), 5, "one home, three schemas, one database: {done:#?}");
    for slug in ["s-1", "s-2", "a-1", "a-2", "a-3", "d-1"] {
        assert!(world.has_column(slug, "stars").await, "{slug}");
    }
    let targets = world.targets(&done).await;
    assert_eq!(targets.values().filter(|(_, wave)| *wave == 0).count(), 1, "one canary: {targets:#?}");

    // Nothing is left to do, and looking finds that out without running anything.
    let again = rollouts::run(&world.cx(), &world.deps, &notes()).await.unwrap();
    let again_done = world.stands(Status::Completed).await;
    assert_eq!(
        (again_done.row.id, again_done.count(TargetStatus::Current), again_done.row.waves),
        (again.row.id, 5, 0)
    );

    // A new version with the same structure: everybody has it already.
    world.apply(&with(&[ADD], Strategy { parallel: 2, ..Strategy::default() })).await;
    let same = world.stands(Status::Completed).await;
    assert_eq!((same.row.version, same.count(TargetStatus::Current), same.count(TargetStatus::Done)), (3, 5, 0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_canary_halts_and_a_newer_version_takes_over() {
    let world = World::running().await;
    let labelled = |slug: &str| {
        let mut wanted = spec("standard", Phase::Active);
        wanted.labels.insert("ring".to_owned(), "first".to_owned());
        Manifest::Tenant { slug: Slug::parse(slug).unwrap(), spec: wanted }
    };
    world.active("a-1", "standard").await;
    let made = manifests::apply(&world.cx(), &world.deps, &[labelled("z-9")]).await.unwrap();
    world.done(made.operation).await;
    world.write("z-9", "bad").await;
    let first = Canary { count: 1, labels: BTreeMap::from([("ring".to_owned(), "first".to_owned())]) };
    let strategy = Strategy { canary: first, ..Strategy::default() };
    world.apply(&with(&[PICKY], strategy.clone())).await;
    let halted = world.stands(Status::Halted).await;
    assert!(halted.row.reason.as_ref().is_some_and(|reason| reason.contains("1 target")), "{halted:#?}");
    let targets = world.targets(&halted).await;
    assert_eq!(targets["z-9"], (TargetStatus::Failed, 0));
    assert_eq!(targets["a-1"].0, TargetStatus::Waiting);
    // The failed tenant goes on being served at what it had, and so does one that comes now.
    world.write("z-9", "still here").await;
    world.active("b-1", "standard").await;

    // A change of the failed tenant's manifest is not held up by the failed version.
    let mut wanted = spec("standard", Phase::Active);
    wanted.labels.insert("ring".to_owned(), "first".to_owned());
    wanted.display_name = "Renamed".to_owned();
    let changed = Manifest::Tenant { slug: Slug::parse("z-9").unwrap(), spec: wanted };
    let changed = manifests::apply(&world.cx(), &world.deps, &[changed]).await.unwrap();
    world.done(changed.operation).await;

    // While the bad row is there, going on fails again.
    world.steer(&halted, Steer::Continue { skip_failed: false }).await;
    world.stands(Status::Halted).await;
    // A newer version supersedes it; what never worked is not part of it.
    world.apply(&with(&[ADD], strategy)).await;
    let done = world.stands(Status::Completed).await;
    assert_eq!((done.row.version, done.row.base_version), (3, 1), "nobody finished version 2");
    for slug in ["a-1", "b-1", "z-9"] {
        assert!(world.has_column(slug, "stars").await, "{slug}");
    }
    let old = rollouts::get(&world.cx(), &world.deps, halted.row.id).await.unwrap();
    assert_eq!(old.row.status, Status::Superseded);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_continue_only_the_failed_one_stays_behind_and_is_brought_later() {
    let world = World::running().await;
    for slug in ["a-1", "a-2", "a-3"] {
        world.active(slug, "standard").await;
    }
    world.write("a-2", "bad").await;
    let strategy = Strategy { on_failure: OnFailure::Continue, ..Strategy::default() };
    world.apply(&with(&[PICKY, ADD], strategy)).await;
    let done = world.stands(Status::Completed).await;
    assert_eq!((done.count(TargetStatus::Failed), done.count(TargetStatus::Done)), (1, 3), "the home too: {done:#?}");
    let targets = world.targets(&done).await;
    assert_eq!(targets["a-2"].0, TargetStatus::Failed);
    assert!(!world.has_column("a-2", "stars").await, "the file behind the failed one did not run");
    let tx = world.enter("a-2").await.unwrap();
    tx.execute("DELETE FROM notes WHERE body = 'bad'", &[]).await.unwrap();
    tx.commit().await.unwrap();
    // It does not go by itself: somebody has to say that the cause is gone.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!world.has_column("a-2", "stars").await);
    rollouts::run(&world.cx(), &world.deps, &notes()).await.unwrap();
    let done = world.stands(Status::Completed).await;
    assert_eq!((done.count(TargetStatus::Done), done.count(TargetStatus::Current)), (1, 3), "{done:#?}");
    assert!(world.has_column("a-2", "stars").await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waves_wait_for_approval_and_a_cancelled_rollout_goes_on_holding() {
    let world = World::running().await;
    for slug in ["a-1", "a-2", "a-3"] {
        world.active(slug, "standard").await;
    }
    world.apply(&with(&[ADD], Strategy { approval: true, ..Strategy::default() })).await;
    let waiting = world.stands(Status::Waiting).await;
    assert_eq!((waiting.count(TargetStatus::Done), waiting.row.wave), (1, 0));
    let refused = rollouts::run(&world.cx(), &world.deps, &notes()).await.unwrap_err();
    assert!(matches!(refused, Refusal::RolloutOpen(_)), "{refused}");

    // Who comes meanwhile gets what everybody has, and a suspended one is not touched by it.
    world.active("b-1", "standard").await;
    assert!(!world.has_column("b-1", "stars").await);
    let cancelled = world.steer(&waiting, Steer::Cancel).await;
    assert_eq!(cancelled.row.status, Status::Cancelled);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let behind = ["a-1", "a-2", "a-3", "b-1"];
    let mut without = 0;
    for slug in behind {
        without += u32::from(!world.has_column(slug, "stars").await);
    }
    assert_eq!(without, 4, "the canary was what the cell shares: {:#?}", world.targets(&cancelled).await);
    let refused = rollouts::steer(&world.cx(), &world.deps, cancelled.row.id, Steer::Pause).await.unwrap_err();
    assert!(matches!(refused, Refusal::RolloutStanding { .. }), "{refused}");

    let (version, planned) = rollouts::preview(&world.cx(), &world.deps, &notes()).await.unwrap();
    assert_eq!((version, planned.targets.len() - planned.current()), (2, 4), "{planned:#?}");
    rollouts::run(&world.cx(), &world.deps, &notes()).await.unwrap();
    let waiting = world.stands(Status::Waiting).await;
    world.steer(&waiting, Steer::Pause).await;
    world.steer(&waiting, Steer::Continue { skip_failed: false }).await;
    let again = world.stands(Status::Waiting).await;
    world.steer(&again, Steer::Continue { skip_failed: false }).await;
    world.stands(Status::Completed).await;
    for slug in behind {
        assert!(world.has_column(slug, "stars").await, "{slug}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_does_not_hold_leaves_the_place_as_it_was() {
    let world = World::running().await;
    world.active("a-1", "standard").await;
    world.active("s-1", "starter").await;
    let check = "SELECT count(*) = 0 FROM notes WHERE stars > 0 AND body = 'never'";
    let holds = Strategy { check: Some(check.to_owned()), ..Strategy::default() };
    world.apply(&with(&[ADD], holds)).await;
    world.stands(Status::Completed).await;
    assert!(world.has_column("a-1", "stars").await && world.has_column("s-1", "stars").await);
    let more = "ALTER TABLE notes ADD COLUMN hearts int NOT NULL DEFAULT 0;";
    for check in
        ["SELECT false", "SELECT NULL::boolean", "SELECT 1/0 = 1", "SELECT nothing FROM nowhere", "DELETE FROM notes"]
    {
        let fails = Strategy { check: Some(check.to_owned()), ..Strategy::default() };
        world.apply(&with(&[ADD, more], fails)).await;
        let halted = world.stands(Status::Halted).await;
        assert_eq!(halted.count(TargetStatus::Failed), 1, "{check}: {halted:#?}");
        assert!(!world.has_column("a-1", "hearts").await && !world.has_column("s-1", "hearts").await, "{check}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_waited_for_shortly_and_often_and_its_holder_is_named() {
    let world = World::running().await;
    world.active("a-1", "standard").await;
    let holder = world.enter("a-1").await.unwrap();
    holder.query("SELECT count(*) FROM notes", &[]).await.unwrap();
    let strategy =
        Strategy { lock_timeout_ms: 50, canary: Canary { count: 0, ..Canary::default() }, ..Strategy::default() };
    world.apply(&with(&[ADD], strategy)).await;
    let picked = Instant::now();
    while world.targets(&world.newest().await).await.get("a-1").is_none_or(|target| target.0 != TargetStatus::Running) {
        assert!(picked.elapsed() < Duration::from_secs(30), "it does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Others get through between two tries: nobody waits for longer than one.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        let tx = world.enter("a-1").await.unwrap();
        tx.query("SELECT count(*) FROM notes", &[]).await.unwrap();
        tx.rollback().await.unwrap();
        assert!(asked.elapsed() < Duration::from_millis(1500), "a reader waited {:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rollout = world.newest().await;
    assert_eq!(world.targets(&rollout).await["a-1"].0, TargetStatus::Running);
    holder.rollback().await.unwrap();
    world.stands(Status::Completed).await;
    assert!(world.has_column("a-1", "stars").await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_breaks_the_running_version_is_refused_before_anybody_gets_it() {
    let world = World::new().await;
    let unsafe_app = with(&["ALTER TABLE notes DROP COLUMN body;"], Strategy::default());
    let refused = manifests::apply(&world.cx(), &world.deps, &unsafe_app).await.unwrap_err();
    let fields = refused.fields();
    assert_eq!(fields.len(), 1, "{fields:?}");
    assert_eq!(fields[0].field, "documents[0].spec.migrations.files[1].sql");
    assert!(fields[0].message.contains("TL406") && fields[0].message.contains("0002_more.sql:1"), "{fields:?}");
    let allowed = "-- tenantry:allow TL406 nobody reads it since release 41\nALTER TABLE notes DROP COLUMN body;";
    world.apply(&with(&[allowed], Strategy::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_die_in_the_middle_leave_nothing_undone_and_nothing_twice() {
    let mut world = World::running().await;
    let slugs: Vec<String> = (0..12).map(|number| format!("many-{number}")).collect();
    for slug in &slugs {
        world.active(slug, "standard").await;
    }
    // Not repeatable on purpose: a second run would leave a second row.
    let once = "CREATE TABLE runs (tenant_id uuid NOT NULL, id bigint GENERATED BY DEFAULT AS IDENTITY, at timestamptz DEFAULT now(), \
        PRIMARY KEY (tenant_id, id));
        INSERT INTO runs (tenant_id) SELECT tenant_id FROM notes LIMIT 1;";
    for slug in &slugs {
        world.write(slug, "one").await;
    }
    world.apply(&with(&[once], Strategy { waves: vec![30, 100], ..Strategy::default() })).await;
    for round in 0..6_u64 {
        tokio::time::sleep(Duration::from_millis(15 + 25 * round)).await;
        // Dropped, not shut down: tasks end where they are, leases and claims stay behind.
        drop(world.runtime.take());
        world.runtime = Some(Runtime::start(&world.deps));
    }
    let done = world.stands(Status::Completed).await;
    assert_eq!(done.count(TargetStatus::Done), 13, "{done:#?}");
    for slug in &slugs {
        let tx = world.enter(slug).await.unwrap();
        let rows: i64 = tx.query_one("SELECT count(*) FROM runs", &[]).await.unwrap().get(0);
        tx.rollback().await.unwrap();
        assert_eq!(rows, 1, "{slug}");
        let tenant = tenants::get(&world.cx(), &world.deps, &crate::world::name(slug)).await.unwrap();
        assert!(tenant.failure.is_none());
    }
    world.stop().await;
}

/// Files that have run are held where the stream comes in; those that nobody has may change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_has_run_is_held_at_the_door_and_one_that_has_not_may_change() {
    let world = World::running().await;
    let changed = |sql: &str| {
        let mut all = with(&[ADD], Strategy::default());
        if let Manifest::App { spec: Spec { migrations: Migrations::Files { files }, .. }, .. } = &mut all[0] {
            files[0].sql.push_str(sql);
        }
        all
    };
    world.active("a-1", "standard").await;
    world.apply(&changed("")).await;
    world.stands(Status::Completed).await;
    let refused = |manifests: Vec<Manifest>| {
        let world = &world;
        async move {
            let by_plan = manifests::plan(&world.cx(), &world.deps, &manifests).await.unwrap_err();
            let refusal = manifests::apply(&world.cx(), &world.deps, &manifests).await.unwrap_err();
            assert_eq!((refusal.code(), by_plan.code()), (Code::MigrationRan, Code::MigrationRan));
            assert_eq!(refusal.fields(), by_plan.fields());
            let [only] = <[_; 1]>::try_from(refusal.fields()).unwrap();
            only
        }
    };
    let of_first = refused(changed("-- second")).await;
    assert_eq!(of_first.field, "documents[0].spec.migrations.files[0].sql");
    assert!(of_first.message.contains("`0001_init.sql` was changed") && of_first.message.contains("version 2"));
    let mut without = changed("");
    let mut between = without.clone();
    for (manifests, is_gone) in [(&mut without, true), (&mut between, false)] {
        let Manifest::App { spec: Spec { migrations: Migrations::Files { files }, .. }, .. } = &mut manifests[0] else {
            panic!("an app")
        };
        if is_gone {
            files.remove(1);
        } else {
            files.insert(1, MigrationFile { name: "0001_later.sql".to_owned(), sql: "SELECT 1".to_owned() });
        }
    }
    let of_gone = refused(without).await;
    assert!(of_gone.message.contains("`0002_more.sql` is missing"), "{of_gone:?}");
    let of_between = refused(between).await;
    assert_eq!(of_between.field, "documents[0].spec.migrations.files[1].name");
    assert_eq!(world.newest().await.row.version, 2, "none of these began a rollout");

    // The canary fails at a new file: nobody has it, so it may be corrected, and the old ones may still not be touched.
    let with_third = |sql: &str, first: &str| {
        let mut all = changed(first);
        if let Manifest::App { spec: Spec { migrations: Migrations::Files { files }, .. }, .. } = &mut all[0] {
            files.push(MigrationFile { name: "0003_third.sql".to_owned(), sql: sql.to_owned() });
        }
        all
    };
    world.apply(&with_third("SELECT 1 / 0", "")).await;
    world.stands(Status::Halted).await;
    let still = refused(with_third("CREATE TABLE more (oops nonsense)", "-- second")).await;
    assert!(still.message.contains("0001_init.sql"), "{still:?}");
    world.apply(&with_third("ALTER TABLE notes ADD COLUMN hearts int", "")).await;
    world.stands(Status::Completed).await;
    assert!(world.has_column("a-1", "hearts").await);

    let gauges = rollouts::gauges(&world.deps).await.unwrap();
    let gauge = gauges.iter().find(|gauge| gauge.environment == world.environment).unwrap();
    assert_eq!((gauge.app.as_str(), gauge.status), ("notes", Status::Completed));
    assert_eq!(gauge.targets.get(&TargetStatus::Done), Some(&2), "the home and the schema: {gauge:?}");
    world.stop().await;

    // Where nobody has it, all of it may change.
    let world = World::new().await;
    world.apply(&changed("-- first")).await;
    world.apply(&changed("-- second")).await;
    assert_eq!(world.newest().await.row.version, 3);
}

/// A home that was prepared ahead of its first tenant knows files that nobody has: they may change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_prepared_ahead_follows_files_that_change_before_its_first_tenant() {
    let world = World::running().await;
    let is_there = async || !rollouts::preview(&world.cx(), &world.deps, &notes()).await.unwrap().1.targets.is_empty();
    let began = Instant::now();
    while !is_there().await {
        assert!(began.elapsed() < Duration::from_secs(30), "no home was prepared");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut all = with(&[ADD], Strategy::default());
    if let Manifest::App { spec: Spec { migrations: Migrations::Files { files }, .. }, .. } = &mut all[0] {
        files[0].sql.push_str("-- corrected");
    }
    world.apply(&all).await;
    let done = world.stands(Status::Completed).await;
    assert_eq!(done.count(TargetStatus::Done), 1, "the home: {done:?}");
    world.active("a-1", "starter").await;
    assert!(world.has_column("a-1", "stars").await);
    world.stop().await;
}

/// What a tenant added to its own place is compared with the new files before any wave: a clash keeps them away from that
/// tenant alone, and nothing that it added is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clash_with_what_a_tenant_added_is_found_before_the_wave() {
    let world = World::running().await;
    let server = tenantry_testkit::pg::server();
    for (slug, plan) in [("own-1", "enterprise"), ("own-2", "standard"), ("plain", "standard")] {
        world.active(slug, plan).await;
    }
    let alter = async |slug: &str, sql: &str| {
        let tx = world.enter(slug).await.unwrap();
        let place = "SELECT current_database()::text, nspname::text, pg_get_userbyid(nspowner)::text FROM pg_namespace
            WHERE nspname = current_schema()";
        let row = tx.query_one(place, &[]).await.unwrap();
        let [database, schema, owner]: [String; 3] = [row.get(0), row.get(1), row.get(2)];
        tx.rollback().await.unwrap();
        server.sql(&database, &format!("SET ROLE {owner}; SET search_path = {schema}; {sql}"));
    };
    for (slug, sql) in [
        ("own-1", "ALTER TABLE notes ADD COLUMN stars text DEFAULT 'mine'"),
        ("own-2", "CREATE VIEW short WITH (security_invoker) AS SELECT id, body FROM notes"),
    ] {
        alter(slug, sql).await;
    }
    let strategy = |on_failure| Strategy { on_failure, ..Strategy::default() };
    let (_, planned) = rollouts::preview(&world.cx(), &world.deps, &notes()).await.unwrap();
    assert_eq!(planned.clashing().count(), 0, "nothing is pending");
    world.apply(&with(&[ADD], strategy(OnFailure::Continue))).await;
    let done = world.stands(Status::Completed).await;
    let targets = world.targets(&done).await;
    let stand = |slug: &str| targets[slug].0;
    assert_eq!(
        [stand("own-1"), stand("own-2"), stand("plain")],
        [TargetStatus::Failed, TargetStatus::Done, TargetStatus::Done]
    );
    let size = PageSize::default();
    let failed = rollouts::targets(&world.cx(), &world.deps, done.row.id, Some(TargetStatus::Failed), size, None).await;
    let failed = failed.unwrap().items.remove(0);
    assert_eq!(failed.started_at, None, "nothing began there");
    let cause = failed.cause.unwrap();
    assert_eq!(cause.code, Code::OverlayConflict.to_string());
    let wanted =
        "column notes.stars has the name of what is made at 0002_more.sql:1: `ALTER TABLE notes ADD COLUMN stars";
    assert!(cause.message.starts_with(wanted) && cause.message.contains("rename or drop"), "{}", cause.message);
    // What was added is as it was, and what the file made came beside it.
    assert!(world.has_column("own-2", "stars").await && world.has_column("plain", "stars").await);
    let tx = world.enter("own-2").await.unwrap();
    tx.query("SELECT id, body FROM short", &[]).await.unwrap();
    tx.rollback().await.unwrap();

    // A column that the view needs goes: remembered although files ran since, and the rollout stops before its wave.
    let gone = "-- tenantry:allow TL406 nobody reads it\nALTER TABLE notes DROP COLUMN body CASCADE;";
    world.apply(&with(&[ADD, gone], strategy(OnFailure::Stop))).await;
    let halted = world.stands(Status::Halted).await;
    let targets = world.targets(&halted).await;
    assert_eq!((targets["own-1"].0, targets["own-2"].0), (TargetStatus::Failed, TargetStatus::Failed));
    let tx = world.enter("own-2").await.unwrap();
    tx.query("SELECT id, body FROM short", &[]).await.unwrap();
    tx.rollback().await.unwrap();

    // Listed for people: what was added, what it needs, and what it is in the way of.
    let of = async |slug: &str| {
        let found = tenants::additions(&world.cx(), &world.deps, &slug.parse().unwrap()).await.unwrap();
        let added: Vec<String> = found.added.iter().map(Added::label).collect();
        let clashes: Vec<String> =
            found.clashes.iter().map(|clash| format!("{} {}", clash.object, clash.why)).collect();
        (added, clashes)
    };
    let clash = "view short needs `notes.body`, which is dropped";
    assert_eq!(of("own-2").await, (vec!["view short".to_owned()], vec![clash.to_owned()]));
    assert_eq!(of("own-1").await.0, ["column notes.stars"]);
    assert_eq!(of("plain").await, (Vec::new(), Vec::new()));

    // Continued without a remedy, the files are kept away all the same.
    alter("own-1", "ALTER TABLE notes RENAME COLUMN stars TO my_stars").await;
    world.steer(&halted, Steer::Continue { skip_failed: false }).await;
    let halted = world.stands(Status::Halted).await;
    assert_eq!(world.targets(&halted).await["own-2"].0, TargetStatus::Failed);
    alter("own-2", "DROP VIEW short").await;
    world.steer(&halted, Steer::Continue { skip_failed: false }).await;
    let done = world.stands(Status::Completed).await;
    assert!(world.targets(&done).await.values().all(|(status, _)| *status == TargetStatus::Done), "{done:?}");
    assert!(world.has_column("own-1", "my_stars").await && world.has_column("own-1", "stars").await);
    world.stop().await;
}

/// What gauges tell: the newest rollout of each app, and how its targets stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_rollout_and_its_failed_targets_are_counted_until_it_goes_on() {
    let world = World::running().await;
    for slug in ["a-1", "a-2"] {
        world.active(slug, "standard").await;
    }
    let gauge = async || {
        let all = rollouts::gauges(&world.deps).await.unwrap();
        all.into_iter().find(|gauge| gauge.environment == world.environment)
    };
    assert_eq!(gauge().await, None, "an app that never had one is left out");
    world.write("a-1", "bad").await;
    world.write("a-2", "bad").await;
    let canaries = Canary { count: 9, ..Canary::default() };
    world.apply(&with(&[PICKY], Strategy { canary: canaries, ..Strategy::default() })).await;
    world.stands(Status::Halted).await;
    let halted = gauge().await.unwrap();
    let count = |gauge: &rollouts::RolloutGauge, status| gauge.targets.get(&status).copied().unwrap_or_default();
    assert_eq!((halted.status, halted.app.as_str()), (Status::Halted, "notes"));
    assert!((1..=2).contains(&count(&halted, TargetStatus::Failed)), "{halted:?}");
    assert_eq!(halted.targets.values().sum::<u64>(), 3, "{halted:?}");

    // What the cell shares has the file, though no tenant has: it may not be another one.
    assert_eq!(count(&halted, TargetStatus::Done), 1, "{halted:?}");
    let other = manifests::apply(&world.cx(), &world.deps, &with(&[ADD], Strategy::default())).await.unwrap_err();
    assert_eq!(other.code(), Code::MigrationRan, "{other}");
    for slug in ["a-1", "a-2"] {
        let tx = world.enter(slug).await.unwrap();
        tx.execute("DELETE FROM notes WHERE body = 'bad'", &[]).await.unwrap();
        tx.commit().await.unwrap();
    }
    let rollout = world.newest().await;
    world.steer(&rollout, Steer::Continue { skip_failed: false }).await;
    world.stands(Status::Completed).await;
    let done = gauge().await.unwrap();
    assert_eq!((done.status, count(&done, TargetStatus::Failed)), (Status::Completed, 0));
    world.stop().await;
}
