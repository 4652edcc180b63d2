//! What is remembered of the data of a COPY in which values are sealed or opened.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::catalog::FieldId;
use crate::statement::CopyFacts;
use crate::wire::copy::{Format, Header, Rows};

/// What is remembered of the data of one COPY.
pub struct Stream {
    pub rows: Rows,
    /// What has come of a row that is not whole.
    pub rest: Zeroizing<Vec<u8>>,
    pub header: bool,
    /// Of the data, from 1.
    pub line: u64,
    /// The data has told its end itself.
    pub ended: bool,
}

impl Stream {
    pub fn new(format: &Format, dot_ends: bool) -> Stream {
        Stream {
            rows: Rows::new(dot_ends),
            rest: Zeroizing::new(Vec::new()),
            header: format.header != Header::No && format.has_lines(),
            line: 0,
            ended: false,
        }
    }

    /// Without leaving a copy behind where it must grow.
    pub fn append(&mut self, data: &[u8]) {
        if self.rest.capacity() - self.rest.len() < data.len() {
            let mut larger = Vec::with_capacity((self.rest.len() + data.len()).next_power_of_two());
            larger.extend_from_slice(&self.rest);
            self.rest = Zeroizing::new(larger);
        }
        self.rest.extend_from_slice(data);
    }

    /// So many bytes have gone on.
    pub fn drop_head(&mut self, bytes: usize) {
        let bytes = bytes.min(self.rest.len());
        let left = self.rest.len() - bytes;
        self.rest.copy_within(bytes.., 0);
        self.rest.truncate(left);
    }
}

/// A COPY from the client that the server takes data for.
pub struct CopyIn {
    pub stream: Stream,
    pub of: Arc<CopyFacts>,
    /// Bytes of a CopyData that are still to come.
    pub left: usize,
    pub sealed: Vec<FieldId>,
}
