//! The disk as the log sees it: a directory of files written at positions, synced by request.
//!
//! Every byte the log reads or writes goes through [`Storage`], so that a simulated disk can stand in for a real one.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Held as long as the log is open; released when dropped.
pub trait LockGuard: Send {}

/// A flat directory. Names are plain file names. Nothing is durable before the sync that belongs to it: a file's
/// bytes by the file's sync, its name by [`Storage::sync_dir`].
pub trait Storage: Send + Sync {
    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file, or empties one.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Replaces `to` if it is there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creates, renames and removes durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes the directory for this process; `ErrorKind::WouldBlock` when another one has it.
    fn lock(&self) -> io::Result<Box<dyn LockGuard>>;
    /// Bytes that can still be written. A guess: others write too, and quotas may allow less.
    fn free_bytes(&self) -> io::Result<u64>;
    /// How a person finds this file: its whole path.
    fn locate(&self, name: &str) -> String;
    /// Fresh random bits for a segment's salt.
    fn random(&self) -> io::Result<u64>;
}

/// An open file. Positions and lengths are in bytes.
pub trait DiskFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `buf`; an error when the file ends before.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<()>;
    /// Writes all of `bytes`, growing the file if need be.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// The bytes and what is needed to read them back are on the disk.
    fn sync_data(&self) -> io::Result<()>;
}

/// A directory of the real file system.
#[derive(Debug)]
pub struct DirStorage {
    dir: PathBuf,
}

const LOCK_NAME: &str = "lock";

impl DirStorage {
    /// Makes the directory, and its parents, if they are missing.
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<DirStorage> {
        let dir = dir.into();
        let missing = dir.ancestors().take_while(|d| !d.as_os_str().is_empty() && !d.is_dir()).count();
        fs::create_dir_all(&dir)?;
        // A directory that is not durable in its parent would take the whole log with it.
        for parent in dir.ancestors().skip(1).take(missing) {
            sync_path(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        Ok(DirStorage { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn sync_path(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Storage for DirStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // A name that is not UTF-8 is none of the log's.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(self.path(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = File::options().read(true).write(true).open(self.path(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_path(&self.dir)
    }

    fn lock(&self) -> io::Result<Box<dyn LockGuard>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(self.path(LOCK_NAME))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(FileLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn locate(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn random(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// The lock goes with the open file: the kernel releases it however the process ends.
struct FileLock {
    _file: File,
}

impl LockGuard for FileLock {}

struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, at)
    }
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
