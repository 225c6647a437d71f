//! A disk in memory that can lose its power at any operation.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use althing_replica::store::StoreError;
use althing_store_redb::{Logs, RedbStore};
use redb::StorageBackend;

/// What has been written since the last sync of a file.
#[derive(Clone, Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    Resize(u64),
}

#[derive(Clone, Debug, Default)]
struct Image {
    durable: Vec<u8>,
    view: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Debug, Default)]
struct Disk {
    files: [Image; FILES],
    operations: u64,
    power_fails_at: Option<u64>,
}

/// What lies in a store's files: redb's, the log of commits, two of proposals.
pub(crate) type Files = [Vec<u8>; FILES];
const FILES: usize = 4;

/// Files that share one power supply. A clone is the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Power(Arc<Mutex<Disk>>);

/// One of a disk's files.
#[derive(Debug)]
pub(crate) struct SimulatedFile(Power, usize);

/// splitmix64: the tests' only chance, from a seed that they print.
pub(crate) fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Power {
    pub(crate) fn with_files(files: Files, power_fails_at: Option<u64>) -> Self {
        let image = |bytes: Vec<u8>| Image { durable: bytes.clone(), view: bytes, pending: vec![] };
        let files = files.map(image);
        Self(Arc::new(Mutex::new(Disk { files, operations: 0, power_fails_at })))
    }

    pub(crate) fn file(&self, number: usize) -> SimulatedFile {
        SimulatedFile(self.clone(), number)
    }

    /// Opens the store on this disk.
    pub(crate) fn open(&self, heights_max: u32) -> Result<RedbStore, StoreError> {
        let proposals: [Box<dyn StorageBackend>; 2] =
            [Box::new(self.file(2)), Box::new(self.file(3))];
        let logs = Logs { commits: Box::new(self.file(1)), proposals, heights_max };
        RedbStore::with_backends(self.file(0), logs)
    }

    /// What the processes saw last.
    pub(crate) fn view(&self) -> Files {
        self.disk().files.clone().map(|file| file.view)
    }

    /// How many operations that change something were tried.
    pub(crate) fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// What is left after the power failed if nothing since the last sync got through.
    pub(crate) fn synced(&self) -> Files {
        self.disk().files.clone().map(|file| file.durable)
    }

    /// What is left after the power failed: of each write since the last sync all, nothing, or some
    /// sectors of 512 bytes.
    pub(crate) fn after_power_loss(&self, seed: &mut u64) -> Files {
        self.disk().files.clone().map(|file| {
            let mut left = file.durable;
            for pending in &file.pending {
                match pending {
                    Pending::Resize(length) if next(seed).is_multiple_of(2) => {
                        left.resize(usize::try_from(*length).unwrap_or(0), 0);
                    }
                    Pending::Resize(_) => {}
                    Pending::Write(offset, bytes) => {
                        let fate = next(seed) % 3;
                        for (sector, bytes) in bytes.chunks(512).enumerate() {
                            if fate == 0 || (fate == 1 && next(seed).is_multiple_of(2)) {
                                let start = usize::try_from(*offset).unwrap_or(0) + sector * 512;
                                left.resize(left.len().max(start + bytes.len()), 0);
                                left[start..start + bytes.len()].copy_from_slice(bytes);
                            }
                        }
                    }
                }
            }
            left
        })
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Disk {
    /// Counts an operation that changes something; fails once the power has failed.
    fn tick(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.power_fails_at.is_some_and(|at| self.operations > at) {
            return Err(io::Error::other("the power failed"));
        }
        Ok(())
    }
}

impl StorageBackend for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.disk().files[self.1].view.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.disk();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = disk.files[self.1].view.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.files[self.1].pending.push(Pending::Resize(length));
        disk.tick()?;
        disk.files[self.1].view.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.tick()?;
        let file = &mut disk.files[self.1];
        file.durable.clone_from(&file.view);
        file.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.files[self.1].pending.push(Pending::Write(offset, bytes.to_vec()));
        disk.tick()?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let target = disk.files[self.1].view.get_mut(start..start + bytes.len());
        target.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
        Ok(())
    }
}
