//! The file of notice keys in the data directory, oldest key first:
//!
//! ```text
//! users <64 hexadecimal digits>
//! <id> <64 hexadecimal digits> <since>
//! ```
//!
//! `users` hashes user ids in tokens and in the log; it never changes, or frequency caps would begin anew. The last key
//! signs and all verify. `since` is when a start first signed with the key, in Unix seconds, or `-` before that; from
//! the next key's `since` on it signs no more, so that a token's lifetime later nobody needs it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::clock::UnixMs;
use crate::openrtb::token::{KeyRing, MAX_KEYS};

type Secret = [u8; 32];

/// What the file holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Keys {
    /// Earlier builds had none.
    users: Option<Secret>,
    keys: Vec<Key>,
}

#[derive(Debug, PartialEq, Eq)]
struct Key {
    id: u8,
    secret: Secret,
    since: Since,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Earlier builds did not write it.
    Unknown,
    Never,
    At(UnixMs),
}

/// What a start needs: the keys of its tokens, and the secret that user ids are hashed with.
pub struct Opened {
    pub ring: KeyRing,
    pub users: Secret,
}

/// Reads the keys for a start at `now`; makes the first ones when there is no file.
pub fn open(path: &Path, now: UnixMs) -> Result<Opened, String> {
    let _lock = lock(path)?;
    let (mut keys, mut is_new) = (read(path)?, false);
    if keys.keys.is_empty() {
        keys.keys.push(Key { id: 1, secret: fresh()?, since: Since::Never });
    }
    let users = match keys.users {
        Some(users) => users,
        None => {
            is_new = true;
            *keys.users.insert(fresh()?)
        }
    };
    for key in keys.keys.iter_mut().filter(|key| !matches!(key.since, Since::At(_))) {
        key.since = Since::At(now);
        is_new = true;
    }
    if is_new {
        write(path, &keys)?;
    }
    let ring = KeyRing::new(keys.keys.iter().map(|key| (key.id, key.secret)).collect());
    Ok(Opened { ring: ring.map_err(|e| format!("{}: {e}", path.display()))?, users })
}

/// Puts the keys of an earlier log out of use, when a new one begins: campaigns and starts are numbered anew in it, so
/// a notice of a bid that it never saw must not verify.
pub fn set_aside(path: &Path) -> Result<(), String> {
    let old = path.with_extension("old");
    match fs::rename(path, &old) {
        Ok(()) => {
            tracing::warn!("the log is new: {} is now {}", path.display(), old.display());
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Adds a new key that signs from the next start on, and drops those whose last token has expired at `now`. One that has
/// not signed yet is replaced. Refused when there would be too many.
pub fn rotate(path: &Path, now: UnixMs, token_lifetime_ms: i64) -> Result<u8, String> {
    let _lock = lock(path)?;
    let Keys { users, mut keys } = read(path)?;
    let id = keys.last().map_or(1, |key| key.id.wrapping_add(1));
    keys.pop_if(|key| key.since == Since::Never);
    for key in keys.iter_mut().filter(|key| key.since == Since::Unknown) {
        key.since = Since::At(now);
    }
    let needed_until = |keys: &[Key]| match keys.get(1).map(|next| next.since) {
        Some(Since::At(since)) => since.plus(token_lifetime_ms),
        _ => UnixMs::MAX,
    };
    while needed_until(&keys) <= now {
        keys.remove(0);
    }
    if keys.len() >= MAX_KEYS {
        return Err(format!(
            "nothing was changed: tokens of all {MAX_KEYS} keys may still be on their way, and one more key would put the \
             oldest out of use; rotate again after {}, or set token_lifetime_s lower",
            needed_until(&keys)
        ));
    }
    keys.push(Key { id, secret: fresh()?, since: Since::Never });
    write(path, &Keys { users, keys })?;
    Ok(id)
}

fn fresh() -> Result<Secret, String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| format!("the system gives no random bytes: {e}"))?;
    Ok(secret)
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Keeps a start and a rotation from writing over each other. The kernel takes the lock back however the process ends.
fn lock(path: &Path) -> Result<fs::File, String> {
    let locked = fs::File::open(dir_of(path)).and_then(|dir| dir.lock().map(|()| dir));
    locked.map_err(|e| format!("{}: {e}", path.display()))
}

/// Nothing where there is no file.
fn read(path: &Path) -> Result<Keys, String> {
    let fail = |what: String| format!("{}: {what}", path.display());
    let mut keys = Keys::default();
    if !path.exists() {
        return Ok(keys);
    }
    let mode = fs::metadata(path).map_err(|e| fail(e.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(fail(format!(
            "may be read by others (mode {:o}); chmod 600 it, then rotate the keys",
            mode & 0o777
        )));
    }
    let text = fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    for (i, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let known = match words[..] {
            ["users", hex] => secret(hex).map(|users| keys.users = Some(users)),
            _ => key(&words).map(|key| keys.keys.push(key)),
        };
        known.ok_or_else(|| fail(format!("line {} is not a key: an id, 64 hexadecimal digits and a time", i + 1)))?;
    }
    if keys.keys.is_empty() {
        return Err(fail(
            "holds no key; put back a copy of it, or remove it: tokens on their way are then refused".into(),
        ));
    }
    Ok(keys)
}

fn key(words: &[&str]) -> Option<Key> {
    let (id, hex, since) = match words {
        [id, hex] => (id, hex, Since::Unknown),
        [id, hex, "-"] => (id, hex, Since::Never),
        [id, hex, since] => (id, hex, Since::At(UnixMs(since.parse::<i64>().ok()?.checked_mul(1_000)?))),
        _ => return None,
    };
    Some(Key { id: id.parse().ok()?, secret: secret(hex)?, since })
}

fn secret(hex: &str) -> Option<Secret> {
    let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    (digits.len() == 64).then(|| std::array::from_fn(|i| (digits[2 * i] << 4 | digits[2 * i + 1]) as u8))
}

/// Writes the file anew, whole or not at all, readable by its owner only.
fn write(path: &Path, keys: &Keys) -> Result<(), String> {
    let hex = |secret: &Secret| secret.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut text = keys.users.iter().map(|users| format!("users {}\n", hex(users))).collect::<String>();
    for key in &keys.keys {
        let since = match key.since {
            Since::Unknown => String::new(),
            Since::Never => " -".to_owned(),
            // Rounded up: its forerunner signed until then.
            Since::At(at) => format!(" {}", (at.0 + 999).div_euclid(1_000)),
        };
        text.push_str(&format!("{} {}{since}\n", key.id, hex(&key.secret)));
    }
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let new = path.with_extension("new");
    // A leftover of a crash; there is usually none.
    let _none_is_fine = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(fail)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&new, path).map_err(fail)?;
    fs::File::open(dir_of(path)).and_then(|d| d.sync_all()).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMs = UnixMs(1_700_000_000_500);
    const HOUR_MS: i64 = 3_600_000;

    fn at(hours: i64) -> UnixMs {
        START.plus(hours * HOUR_MS)
    }

    fn path(dir: &tempfile::TempDir) -> std::path::PathBuf {
        dir.path().join("notice-keys")
    }

    fn ids(path: &Path) -> Vec<u8> {
        read(path).unwrap().keys.iter().map(|key| key.id).collect()
    }

    #[test]
    fn made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        let users = open(&path, START).unwrap().users;
        let first = read(&path).unwrap();
        assert_eq!(first.keys[0].since, Since::At(UnixMs(1_700_000_001_000)), "rounded up, once");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open(&path, at(1)).unwrap().users, users);
        assert_eq!(read(&path).unwrap(), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open(&path, START).err().unwrap().contains("may be read by others"));
    }

    #[test]
    fn a_key_is_kept_as_long_as_its_tokens_live() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        let users = open(&path, at(0)).unwrap().users;
        assert_eq!(rotate(&path, at(1), 48 * HOUR_MS), Ok(2));
        // Nobody has signed with it yet.
        assert_eq!(rotate(&path, at(2), 48 * HOUR_MS), Ok(3));
        assert_eq!(ids(&path), [1, 3]);
        // Until the next start the first one signs, however long that takes.
        assert_eq!(rotate(&path, at(200), 48 * HOUR_MS), Ok(4));
        assert_eq!(ids(&path), [1, 4]);
        open(&path, at(201)).unwrap();
        assert_eq!(rotate(&path, at(249), 48 * HOUR_MS), Ok(5));
        assert_eq!(ids(&path), [1, 4, 5], "an hour short, and the rounding");
        assert_eq!(rotate(&path, at(250), 48 * HOUR_MS), Ok(6));
        assert_eq!(ids(&path), [4, 6]);
        let opened = open(&path, at(251)).unwrap();
        assert_eq!((format!("{:?}", opened.ring), opened.users), ("[4, 6]".to_owned(), users));
    }

    #[test]
    fn a_rotation_that_would_put_a_needed_key_out_of_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        for hour in 0..7 {
            open(&path, at(hour)).unwrap();
            rotate(&path, at(hour), 48 * HOUR_MS).unwrap();
        }
        open(&path, at(7)).unwrap();
        let before = read(&path).unwrap();
        let why = rotate(&path, at(8), 48 * HOUR_MS).unwrap_err();
        // The second key signed from hour 1 on.
        assert!(why.contains("nothing was changed") && why.contains("2023-11-16T23:13:21Z"), "{why}");
        assert_eq!(read(&path).unwrap(), before);
        assert_eq!(rotate(&path, at(50), 48 * HOUR_MS), Ok(9));
        assert_eq!(ids(&path), [2, 3, 4, 5, 6, 7, 8, 9]);
        // Shorter lives need fewer keys.
        assert_eq!(rotate(&path, at(50), HOUR_MS), Ok(10));
        assert_eq!(ids(&path), [8, 10]);
    }

    #[test]
    fn the_keys_of_an_earlier_build_are_kept_for_a_lifetime_from_now() {
        let hex = "ab".repeat(32);
        for rotate_first in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = path(&dir);
            fs::write(&path, format!("3 {hex}\n4 {hex}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            if rotate_first {
                assert_eq!(rotate(&path, at(0), HOUR_MS), Ok(5));
                assert_eq!(ids(&path), [3, 4, 5]);
            } else {
                let opened = open(&path, at(0)).unwrap();
                assert_eq!(format!("{:?}", opened.ring), "[3, 4]");
                assert_eq!(open(&path, at(0)).unwrap().users, opened.users);
            }
            assert_eq!(rotate(&path, at(2), HOUR_MS), Ok(if rotate_first { 6 } else { 5 }));
            assert_eq!(ids(&path)[0], 4, "the first is needed no more");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        open(&path, START).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for odd in ["2 é", "users 12", "3", "", "x - -", &format!("4 {} soon", "ab".repeat(32))] {
            fs::write(&path, format!("{text}{odd}\n")).unwrap();
            assert!(open(&path, START).err().unwrap().contains("line 3"), "{odd}");
            assert!(rotate(&path, START, 1).unwrap_err().contains("line 3"), "{odd}");
        }
        fs::write(&path, "").unwrap();
        assert!(open(&path, START).err().unwrap().contains("holds no key"));
    }
}
