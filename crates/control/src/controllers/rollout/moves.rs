//! The next move of a running rollout, made under the lock of its row.

use std::time::{Duration, Instant};

use serde_json::json;
use tenantry_dataplane::Load;
use tenantry_domain::audit::Category;
use tenantry_domain::event::{Draft, Type};
use tenantry_domain::name::CellName;
use tenantry_domain::rollout::{Move, Pace, Signals, State, Status, TargetStatus, next};
use tenantry_store::{Entry, RolloutRow, StoreError, WriteTx};

use super::{Paced, Rollouts, context, entry, stand};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::workflows::site;

/// How often a cell's server is asked how busy it is.
const GLANCE: Duration = Duration::from_millis(500);
/// How long a server may take to say how it is. All that are asked are asked at once, so this bounds a look.
const HEARING: Duration = Duration::from_secs(1);
/// How long a server that did not say it is not asked again.
const SILENCE: Duration = Duration::from_secs(5);

impl Rollouts {
    /// Decides and makes the next move. True when another one may follow at once.
    pub(super) async fn next(&mut self, deps: &Deps, row: &RolloutRow) -> Result<bool, StoreError> {
        let reader = deps.store().read(&row.environment);
        let counts = reader.rollout_counts(row.id).await?;
        let of = |status, wave: Option<u32>| -> u64 {
            let is_it = |wanted: &&tenantry_store::RolloutCount| {
                wanted.status == status && wave.is_none_or(|wave| wanted.wave == wave)
            };
            counts.iter().filter(is_it).map(|count| count.count).sum()
        };
        let state = State {
            status: row.status,
            wave: row.wave,
            waves: row.waves,
            waiting: of(TargetStatus::Waiting, Some(row.wave)),
            running: of(TargetStatus::Running, None),
            failed: of(TargetStatus::Failed, Some(row.wave)),
            wave_ended_at: row.wave_ended_at,
        };
        let decided = next(&state, &row.strategy, deps.now());
        if matches!(decided, Move::Wait | Move::Pause { .. }) {
            return Ok(false);
        }
        if decided == Move::Release {
            return self.release(deps, row).await;
        }
        let (cx, permit) = context(deps, row);
        let mut tx = deps.store().write(&permit, cx.now).await?;
        let mut new = tx.rollouts().lock(row.id).await?;
        if (new.status, new.wave) != (row.status, row.wave) {
            tx.rollback().await;
            return Ok(true);
        }
        let told = match decided {
            Move::EndWave => {
                new.wave_ended_at = Some(cx.now);
                Type::RolloutWaveCompleted
            }
            Move::Advance => {
                (new.wave, new.wave_ended_at) = (new.wave + 1, None);
                Type::RolloutProgressed
            }
            Move::Ask => {
                new.status = Status::Waiting;
                new.reason =
                    Some(format!("wave {} of {} has ended; the next one needs approval", new.wave + 1, new.waves));
                Type::RolloutHalted
            }
            Move::Halt => {
                let failed = state.failed;
                new.status = Status::Halted;
                new.reason = Some(format!("{failed} target(s) of wave {} failed", new.wave + 1));
                tracing::error!(rollout = %new.id, app = new.app, failed, "rollout halted");
                Type::RolloutHalted
            }
            Move::Complete => {
                new.status = Status::Completed;
                Type::RolloutCompleted
            }
            Move::Wait | Move::Pause { .. } | Move::Release => Type::RolloutProgressed,
        };
        stand(tx, (&cx, &permit), &new, told).await?;
        deps.nudge();
        Ok(matches!(decided, Move::EndWave | Move::Advance))
    }

    /// Lets as many targets of the present wave begin as the pace of their cells allows.
    async fn release(&mut self, deps: &Deps, row: &RolloutRow) -> Result<bool, StoreError> {
        let cells = deps.store().read(&row.environment).rollout_cells(row.id, row.wave).await?;
        let mut wanted = Vec::new();
        self.listen(deps, row, &cells).await;
        for (cell, waiting, running, _) in cells {
            let window = self.window(row, &cell);
            let room = window.saturating_sub(running).min(waiting);
            if room > 0 {
                wanted.push((cell, room));
            }
        }
        if wanted.is_empty() {
            return Ok(false);
        }
        let (cx, permit) = context(deps, row);
        let mut tx = deps.store().write(&permit, cx.now).await?;
        let locked = tx.rollouts().lock(row.id).await?;
        if (locked.status, locked.wave) != (Status::Running, row.wave) {
            tx.rollback().await;
            return Ok(true);
        }
        let (mut count, mut tenants) = (0, Vec::new());
        for (cell, room) in &wanted {
            let released = tx.rollouts().release(row.id, row.wave, cell, *room).await?;
            count += released.len();
            tenants.extend(released.into_iter().flatten());
        }
        if count == 0 {
            tx.rollback().await;
            return Ok(false);
        }
        let mut entries = forgive(&cx, &permit, &mut tx, row, &tenants).await?;
        let changes = json!({ "released": count, "wave": row.wave });
        entries.push(entry(&cx, &permit, row, Type::RolloutProgressed, changes));
        tx.commit(entries).await?;
        deps.nudge();
        Ok(false)
    }

    /// Asks the cells of which it is time to know how busy they are, and sets their pace.
    async fn listen(&mut self, deps: &Deps, row: &RolloutRow, cells: &[(String, u32, u32, u32)]) {
        let mut asked = Vec::new();
        for (cell, _, _, troubled) in cells {
            let first = || Paced { pace: Pace::default(), done: 0, looked_at: Instant::now() };
            let paced = self.paces.entry((row.id, cell.clone())).or_insert_with(first);
            if paced.looked_at.elapsed() >= GLANCE || paced.done >= paced.pace.window() {
                asked.push((cell, *troubled));
            }
        }
        let loads = asked.iter().map(|(cell, _)| {
            let is_silent = self.silent.contains_key(&(row.environment.clone(), (*cell).clone()));
            async move { if is_silent { None } else { load(deps, row, cell).await } }
        });
        let loads = futures_util::future::join_all(loads).await;
        for ((cell, troubled), load) in asked.into_iter().zip(loads) {
            if load.is_none() {
                let key = (row.environment.clone(), cell.clone());
                self.silent.entry(key).or_insert_with(|| Instant::now() + SILENCE);
            }
            let Some(paced) = self.paces.get_mut(&(row.id, cell.clone())) else { continue };
            // A server that does not say how it is counts as being in trouble.
            let heard = Signals {
                done: paced.done,
                troubled: troubled + u32::from(load.is_none()),
                waiting: load.map_or(0, |load| load.waiting),
                connections: load.map_or(0, |load| load.connections),
                most: load.map_or(0, |load| load.most),
            };
            (paced.pace, paced.done) = (paced.pace.after(heard, row.strategy.parallel), 0);
            paced.looked_at = Instant::now();
        }
    }

    /// How many targets of a cell may be at work.
    fn window(&self, row: &RolloutRow, cell: &str) -> u32 {
        let pace = self.paces.get(&(row.id, cell.to_owned())).map_or_else(Pace::default, |paced| paced.pace);
        pace.window().min(row.strategy.parallel)
    }
}

/// How busy a cell's server is; nothing when it does not say so soon.
async fn load(deps: &Deps, row: &RolloutRow, cell: &str) -> Option<Load> {
    let asked = async {
        let name = CellName::parse(cell).ok()?;
        let cell = site::cell(deps, &row.environment, &name).await.ok()?;
        cell.load().await.ok()
    };
    tokio::time::timeout(HEARING, asked).await.ok().flatten()
}

/// Forgets that tenants failed before: their turn has come again. A failure of their manifest stays.
async fn forgive(
    cx: &Ctx,
    permit: &tenantry_domain::policy::Permit,
    tx: &mut WriteTx,
    rollout: &RolloutRow,
    tenants: &[tenantry_domain::id::TenantId],
) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for row in tx.tenants().lock_many(tenants).await? {
        if row.failure.is_none() || row.observed_version < row.version {
            continue;
        }
        tx.tenants().forget_failure(row.id)?;
        let mut audit = cx.audit(permit, Category::Workflow, format!("tenant/{}", row.slug));
        audit.changes = json!({ "triedAgain": true });
        let data = json!({ "rollout": rollout.id, "app": rollout.app, "version": rollout.version, "triedAgain": true });
        entries.push(Entry::tenant(row.id, audit, vec![Draft::new(Type::RolloutProgressed, data)]));
    }
    Ok(entries)
}
