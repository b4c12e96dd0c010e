//! The file of notice keys in the data directory: one line per key, `id hex`, oldest first. The last one signs, all
//! verify, so a rotation leaves the notices that are on their way valid.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::openrtb::token::KeyRing;

/// Keys kept: with one rotation a month the oldest is months past the life of its tokens.
const KEPT: usize = 4;

type Key = (u8, [u8; 32]);

/// Reads the keys; makes the first one when there is no file.
pub fn open(path: &Path) -> Result<KeyRing, String> {
    let keys = if path.exists() { read(path)? } else { write(path, vec![fresh(1)?])? };
    KeyRing::new(keys).map_err(|e| format!("{}: {e}", path.display()))
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

/// Adds a new key that signs from the next start on.
pub fn rotate(path: &Path) -> Result<u8, String> {
    let mut keys = if path.exists() { read(path)? } else { Vec::new() };
    let id = keys.last().map_or(1, |(id, _)| id.wrapping_add(1));
    if keys.len() >= KEPT {
        keys.drain(..=keys.len() - KEPT);
    }
    keys.push(fresh(id)?);
    write(path, keys)?;
    Ok(id)
}

fn fresh(id: u8) -> Result<Key, String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| format!("the system gives no random bytes: {e}"))?;
    Ok((id, secret))
}

fn read(path: &Path) -> Result<Vec<Key>, String> {
    let fail = |what: String| format!("{}: {what}", path.display());
    let mode = fs::metadata(path).map_err(|e| fail(e.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(fail(format!(
            "may be read by others (mode {:o}); chmod 600 it, then rotate the keys",
            mode & 0o777
        )));
    }
    let text = fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    let keys = text.lines().enumerate().map(|(i, line)| {
        parse(line).ok_or_else(|| fail(format!("line {} is not an id and 64 hexadecimal digits", i + 1)))
    });
    keys.collect()
}

fn parse(line: &str) -> Option<Key> {
    let (id, hex) = line.split_once(' ')?;
    let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    if digits.len() != 64 {
        return None;
    }
    Some((id.parse().ok()?, std::array::from_fn(|i| (digits[2 * i] << 4 | digits[2 * i + 1]) as u8)))
}

/// Writes the file anew, whole or not at all, readable by its owner only.
fn write(path: &Path, keys: Vec<Key>) -> Result<Vec<Key>, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let new = path.with_extension("new");
    // A leftover of a crash; there is usually none.
    let _none_is_fine = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(fail)?;
    for (id, secret) in &keys {
        let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
        writeln!(file, "{id} {hex}").map_err(fail)?;
    }
    file.sync_all().map_err(fail)?;
    fs::rename(&new, path).map_err(fail)?;
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(fail)?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_private_and_rotated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notice-keys");
        open(&path).unwrap();
        let first = read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        open(&path).unwrap();
        assert_eq!(read(&path).unwrap(), first);
        for id in 2..=6 {
            assert_eq!(rotate(&path).unwrap(), id);
        }
        let keys = read(&path).unwrap();
        assert_eq!(keys.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4, 5, 6]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open(&path).err().unwrap().contains("may be read by others"));
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notice-keys");
        rotate(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}2 é\n")).unwrap();
        assert!(open(&path).err().unwrap().contains("line 2"));
    }
}
