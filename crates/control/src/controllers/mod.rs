//! Controllers: no input, one idea each. A controller looks at what is, compares with what should be, and does the
//! next small thing; a nudge only makes it look sooner. Running one twice, late, or in many replicas is harmless.

pub mod activation;
pub mod canary;
pub mod domains;
pub mod drift;
pub mod driver;
pub mod freshness;
pub mod guard;
pub(crate) mod in_hand;
pub mod pools;
pub mod prune;
pub mod rollout;
pub mod stock;
pub mod storage;
pub mod usage;
