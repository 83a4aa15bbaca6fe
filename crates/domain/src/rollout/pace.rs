//! How many targets of one cell are at work at a time: more while the server takes it, fewer when it does not.
//!
//! Additive increase and multiplicative decrease, as in the congestion control of TCP (Chiu and Jain, 1989): several
//! rollouts on one server come to even shares without knowing of each other.

/// What a server and the targets on it said lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// Targets that ended well since the last look.
    pub done: u32,
    /// Targets that are being tried again: they met a lock, or the server was full or away.
    pub troubled: u32,
    /// Sessions of tenants that wait for a lock.
    pub waiting: u32,
    /// Connections that the server has.
    pub connections: u32,
    /// Connections that it allows.
    pub most: u32,
}

/// The number of targets that may be at work on one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    window: u32,
}

/// Where a cell begins.
const FIRST: u32 = 4;
/// Sessions that may wait for a lock, for each target at work, before it counts as too much: a migration of one
/// tenant holds up only that tenant's sessions.
const PATIENCE: u32 = 2;

impl Default for Pace {
    fn default() -> Self {
        Self { window: FIRST }
    }
}

impl Pace {
    /// The number of targets that may be at work.
    #[must_use]
    pub const fn window(self) -> u32 {
        self.window
    }

    /// The pace after what was heard; between 1 and `most`.
    #[must_use]
    pub fn after(self, heard: Signals, most: u32) -> Self {
        // Keep a fifth of the connections for those who work there.
        let is_full = heard.most > 0 && heard.connections.saturating_mul(5) > heard.most.saturating_mul(4);
        let is_waiting = heard.waiting > self.window.saturating_mul(PATIENCE);
        let window = if is_full || is_waiting || heard.troubled > 0 {
            self.window / 2
        } else if heard.done > 0 {
            self.window.saturating_add(heard.done.min(self.window))
        } else {
            self.window
        };
        Self { window: window.clamp(1, most.max(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_with_success_and_halves_with_trouble() {
        let calm = Signals { done: 4, connections: 10, most: 100, ..Signals::default() };
        let pace = Pace::default().after(calm, 16);
        assert_eq!(pace.window(), 8);
        assert_eq!(pace.after(Signals { done: 100, ..calm }, 12).window(), 12);
        assert_eq!(pace.after(Signals { troubled: 1, ..calm }, 16).window(), 4);
        assert_eq!(pace.after(Signals { connections: 81, ..calm }, 16).window(), 4);
        assert_eq!(pace.after(Signals { waiting: 17, ..calm }, 16).window(), 4);
        assert_eq!(pace.after(Signals { done: 0, ..calm }, 16).window(), 8);
    }

    #[test]
    fn it_never_stops() {
        let trouble = Signals { troubled: 9, ..Signals::default() };
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace = pace.after(trouble, 16);
        }
        assert_eq!(pace.window(), 1);
    }
}
