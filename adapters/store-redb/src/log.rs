//! Proposals of heights that are not decided yet, durable with one fsync each.
//!
//! A log is a run of records from the file's start: `checksum: 4 ‖ length: 4 ‖ height: 8 ‖ id: 32 ‖
//! block`. The first record that is not whole ends it. Once all its proposals are decided, the next
//! one is written at the start again: the file keeps its length, so that an fsync has no metadata to
//! write. What older records leave behind the end is of decided heights, and ignored.
//!
//! When one log grows past [`LOG_BYTES_MAX`] without ever running empty, what is open moves to the
//! other one.
//!
//! A record that rotted cannot be told from one that a crash tore before it was acknowledged: it is
//! not returned, and neither is what follows it. Such proposals come again from peers.

use althing_replica::store::{StoreError, StoredProposal};
use althing_types::{BlockId, Hash, Height};
use redb::StorageBackend;

use crate::error::{corrupt, failed};
use crate::record::checksum;

const HEADER_BYTES: usize = 48;
/// Largest proposal that is kept, in bytes: well above the protocol's largest block.
const PROPOSAL_BYTES_MAX: usize = 64 << 20;
/// Length of a log above which open proposals move to the other log.
const LOG_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct ProposalLog {
    /// The log in use, and the other one, which has no open proposal that the first has not.
    logs: [Box<dyn StorageBackend>; 2],
    /// Where the next record goes.
    end: u64,
    open: Vec<Place>,
}

/// Where an open proposal is.
#[derive(Clone, Copy, Debug)]
struct Place {
    height: Height,
    id: BlockId,
    offset: u64,
}

impl ProposalLog {
    /// Finds the proposals above the tip.
    pub(crate) fn open(
        logs: [Box<dyn StorageBackend>; 2],
        tip: Option<Height>,
    ) -> Result<Self, StoreError> {
        let mut log = Self { logs, end: 0, open: Vec::new() };
        log.logs.swap(0, 1);
        let other = log.scan(tip)?;
        log.logs.swap(0, 1);
        log.scan(tip)?;
        // A crash may have come between moving to the other log and its next record.
        for proposal in other {
            log.append(&proposal)?;
        }
        Ok(log)
    }

    /// Makes a proposal durable, unless it already is; a later body of the same block takes its place.
    pub(crate) fn append(&mut self, proposal: &StoredProposal) -> Result<(), StoreError> {
        let known = self.open.iter().find(|place| place.id == proposal.id);
        if let Some(place) = known
            && self.read(place.offset)?.as_ref() == Some(proposal)
        {
            return Ok(());
        }
        let offset = self.write(proposal)?;
        self.sync()?;
        self.put(Place { height: proposal.height, id: proposal.id, offset });
        Ok(())
    }

    /// The latest body of a block counts.
    fn put(&mut self, place: Place) {
        self.open.retain(|earlier| earlier.id != place.id);
        self.open.push(place);
    }

    /// The open proposals, oldest first.
    pub(crate) fn read_all(&self) -> Result<Vec<StoredProposal>, StoreError> {
        let read = |place: &Place| {
            let found = self.read(place.offset)?.filter(|proposal| proposal.id == place.id);
            found.ok_or_else(|| corrupt("a proposal differs from its checksum"))
        };
        self.open.iter().map(read).collect()
    }

    /// Forgets proposals up to a decided height.
    pub(crate) fn forget(&mut self, decided: Height) -> Result<(), StoreError> {
        self.open.retain(|place| place.height > decided);
        if self.open.is_empty() {
            self.end = 0;
        } else if self.end > LOG_BYTES_MAX {
            let open = self.read_all()?;
            self.logs.swap(0, 1);
            self.end = 0;
            self.open.clear();
            for proposal in &open {
                let offset = self.write(proposal)?;
                self.open.push(Place { height: proposal.height, id: proposal.id, offset });
            }
            self.sync()?;
        }
        Ok(())
    }

    /// Takes the log in use from its start; returns its open proposals.
    fn scan(&mut self, tip: Option<Height>) -> Result<Vec<StoredProposal>, StoreError> {
        self.end = 0;
        self.open.clear();
        let mut proposals = Vec::new();
        while let Some(proposal) = self.read(self.end)? {
            if tip.is_none_or(|tip| proposal.height > tip) {
                let place = Place { height: proposal.height, id: proposal.id, offset: self.end };
                self.put(place);
            }
            self.end += length(&proposal);
            if tip.is_none_or(|tip| proposal.height > tip) {
                proposals.retain(|earlier: &StoredProposal| earlier.id != proposal.id);
                proposals.push(proposal);
            }
        }
        if self.open.is_empty() {
            self.end = 0;
        }
        Ok(proposals)
    }

    /// Writes a record at the end.
    fn write(&mut self, proposal: &StoredProposal) -> Result<u64, StoreError> {
        let bytes = proposal.block.len();
        let length_field = u32::try_from(bytes).ok().filter(|_| bytes <= PROPOSAL_BYTES_MAX);
        let length_field = length_field.ok_or_else(|| StoreError::Io {
            operation: "keeping a proposal",
            source: format!("{bytes} bytes, at most {PROPOSAL_BYTES_MAX} are kept").into(),
        })?;
        let mut record = vec![0; 4];
        record.extend_from_slice(&length_field.to_le_bytes());
        record.extend_from_slice(&proposal.height.0.to_le_bytes());
        record.extend_from_slice(&proposal.id.0);
        record.extend_from_slice(&proposal.block);
        let (first, rest) = record.split_at_mut(4);
        first.copy_from_slice(&checksum(&[], rest));
        let (log, offset) = (&self.logs[0], self.end);
        let end = offset + length(proposal);
        let write = || {
            if log.len()? < end {
                // Rounded up, so that few appends change the file's length.
                log.set_len(end.next_multiple_of(1 << 20))?;
            }
            log.write(offset, &record)
        };
        write().map_err(|error: std::io::Error| failed("keeping a proposal", error.into()))?;
        self.end = end;
        Ok(offset)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let synced = self.logs[0].sync_data();
        synced.map_err(|error| failed("keeping a proposal", error.into()))
    }

    /// The record at an offset; `None` if there is no whole one.
    fn read(&self, offset: u64) -> Result<Option<StoredProposal>, StoreError> {
        let log = &self.logs[0];
        let read = || -> Result<_, std::io::Error> {
            let left = log.len()?.saturating_sub(offset);
            let mut header = [0; HEADER_BYTES];
            if left < HEADER_BYTES as u64 {
                return Ok(None);
            }
            log.read(offset, &mut header)?;
            let (expected, fields) = header.split_at(4);
            let (bytes, fields) = fields.split_at(4);
            let (height, id) = fields.split_at(8);
            let bytes = u32::from_le_bytes(bytes.try_into().expect("split at 4"));
            let size = bytes as usize;
            if size > PROPOSAL_BYTES_MAX || left - (HEADER_BYTES as u64) < u64::from(bytes) {
                return Ok(None);
            }
            let mut block = vec![0; size];
            log.read(offset + HEADER_BYTES as u64, &mut block)?;
            if checksum(&[&header[4..]], &block) != expected {
                return Ok(None);
            }
            let height = Height(u64::from_le_bytes(height.try_into().expect("split at 8")));
            let id = Hash(id.try_into().expect("the rest of 48 bytes"));
            Ok(Some(StoredProposal { height, id, block }))
        };
        read().map_err(|error| failed("reading proposals", error.into()))
    }
}

/// Bytes of a record.
fn length(proposal: &StoredProposal) -> u64 {
    (HEADER_BYTES + proposal.block.len()) as u64
}
