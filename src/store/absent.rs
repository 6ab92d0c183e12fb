//! The store of a service whose database could not be opened: calls go through, nothing is known and nothing is kept.

use async_trait::async_trait;

use crate::reputation::{CallRecord, Number, Recorded, Report, ReputationStore, Standing, StoreError, Totals};

/// Stands in for a store that failed to open, and answers every write with the reason.
#[derive(Debug, Clone)]
pub struct Absent(pub StoreError);

#[async_trait]
impl ReputationStore for Absent {
    async fn standing(&self, _: &Number) -> Result<Option<Standing>, StoreError> {
        Ok(None)
    }

    async fn record_call(&self, _: &CallRecord) -> Result<Recorded, StoreError> {
        Err(self.0.clone())
    }

    async fn record_report(&self, _: &Report) -> Result<Recorded, StoreError> {
        Err(self.0.clone())
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Err(self.0.clone())
    }
}
