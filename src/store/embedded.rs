//! stub
use super::*;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
/// stub
pub struct EmbeddedStore(Mutex<HashMap<TargetId, Vec<u8>>>, Arc<dyn Mirror>);
/// stub
#[derive(Debug)]
pub struct OpenError;
impl fmt::Display for OpenError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
impl EmbeddedStore {
    /// stub
    pub fn open(_d: &Path, m: Arc<dyn Mirror>, _r: &prometheus::Registry) -> Result<EmbeddedStore, OpenError> {
        m.loaded();
        Ok(EmbeddedStore(Mutex::default(), m))
    }
}
impl Store for EmbeddedStore {
    fn put(&self, id: TargetId, document: Vec<u8>, ttl: Ttl, _: SystemTime) -> Result<(), StoreError> {
        self.0.lock().insert(id, document.clone());
        self.1.apply(vec![Change::Put { id, value: document, expires_in: ttl.duration() }]);
        Ok(())
    }
    fn get(&self, id: TargetId, _: SystemTime) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().get(&id).cloned())
    }
    fn delete(&self, id: TargetId, _: SystemTime) -> Result<bool, StoreError> {
        self.1.apply(vec![Change::Remove(id)]);
        Ok(self.0.lock().remove(&id).is_some())
    }
    fn expired(&self, ids: Vec<TargetId>) {
        for id in ids {
            self.0.lock().remove(&id);
        }
    }
    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn close(&self) {}
}
