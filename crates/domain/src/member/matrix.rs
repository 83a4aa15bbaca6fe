//! The permissions of the four roles as a printed table, which a file beside this one holds down.

use super::role::{Standard, ours};
use crate::member::Permission;

/// The table: a line per permission, a column per role, and three lines for permissions of an application.
#[must_use]
pub fn print() -> String {
    let mut text = format!("{:<28}", "permission");
    for role in Standard::ALL {
        text.push_str(&format!("{:<10}", role.as_str()));
    }
    let text = text.trim_end().to_owned();
    let application = ["feature:exports", "projects:read", "projects:write"];
    let all = ours().chain(application.into_iter().filter_map(|name| Permission::parse(name).ok()));
    let lines = all.map(|permission| {
        let cells = Standard::ALL.map(|role| format!("{:<10}", if role.holds(&permission) { "yes" } else { "-" }));
        format!("{:<28}{}", permission.as_str(), cells.concat()).trim_end().to_owned()
    });
    std::iter::once(text).chain(lines).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_matrix_is_the_printed_one() {
        let printed = super::print();
        assert_eq!(printed, include_str!("matrix.txt"), "the matrix is now:\n{printed}");
    }
}
