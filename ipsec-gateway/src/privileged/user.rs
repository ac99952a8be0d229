//! User and group of the worker.

use std::fs;

use ipsec_config::ProcessUser;

/// User without a statement.
const DEFAULT: &str = "nobody";

/// User ID and group ID of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// User ID, which is not 0.
    pub user: u32,
    /// Group ID, which is not 0.
    pub group: u32,
}

/// Returns the IDs of the configured user and group; without a configured one those of the default user. Names are
/// those of `/etc/passwd` and `/etc/group`.
///
/// # Errors
/// The name is unknown, or the user or the group is root.
pub fn find(configured: Option<&ProcessUser>) -> Result<Ids, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
    let default = ProcessUser { user: DEFAULT.to_owned(), group: None };
    ids(configured.unwrap_or(&default), &read("/etc/passwd")?, &read("/etc/group").unwrap_or_default())
}

fn ids(configured: &ProcessUser, users: &str, groups: &str) -> Result<Ids, String> {
    let name = configured.user.as_str();
    let found = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| match fields[..] {
        [own, _, user, group, ..] if own == name || user == name => Some((user.parse().ok()?, group.parse().ok()?)),
        _ => None,
    });
    let number = || name.parse::<u32>().ok().filter(|_| configured.group.is_some()).map(|user| (user, 0));
    let (user, mut group) = found.or_else(number).ok_or_else(|| format!("user `{name}` is not in /etc/passwd"))?;
    if let Some(name) = &configured.group {
        let found = groups.lines().find_map(|line| {
            let (own, rest) = line.split_once(':')?;
            rest.split(':').nth(1)?.parse().ok().filter(|_| own == name)
        });
        let number = found.or_else(|| name.parse().ok());
        group = number.ok_or_else(|| format!("group `{name}` is not in /etc/group"))?;
    }
    if user == 0 || group == 0 {
        return Err(format!(
            "user `{name}`: got user ID {user} and group ID {group}, expected IDs other than 0 (root)"
        ));
    }
    Ok(Ids { user, group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_or_number_and_root_is_refused() {
        let users = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nadmin:x:70:0::/:\nbroken:x:-:-\n";
        let groups = "root:x:0:\nnogroup:x:65534:\nipsec:x:71:nobody\n";
        let table = [
            ("nobody", None, Some((65_534, 65_533))),
            ("nobody", Some("ipsec"), Some((65_534, 71))),
            ("65534", None, Some((65_534, 65_533))),
            ("77", Some("78"), Some((77, 78))),
            ("77", None, None),
            ("other", None, None),
            ("other", Some("ipsec"), None),
            ("nobody", Some("other"), None),
            ("broken", None, None),
            ("root", None, None),
            ("0", Some("ipsec"), None),
            ("admin", None, None),
            ("nobody", Some("root"), None),
            ("nobody", Some("0"), None),
        ];
        for (user, group, expected) in table {
            let configured = ProcessUser { user: user.to_owned(), group: group.map(str::to_owned) };
            let got = ids(&configured, users, groups).ok().map(|ids| (ids.user, ids.group));
            assert_eq!(got, expected, "{user} {group:?}");
        }
    }
}
