//! Who a tenant is and what it may become.

pub mod change;
pub mod contact;
pub mod lifecycle;
pub mod profile;
pub mod slug;
pub mod spec;

pub use slug::Slug;
pub use spec::Spec;
