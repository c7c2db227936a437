//! What the threads of the store share.

use std::sync::Arc;

use super::connect::Connector;
use super::link::Link;
use super::metrics::Metrics;
use crate::store::Mirror;

pub(super) struct Context {
    pub(super) connector: Arc<Connector>,
    pub(super) link: Arc<Link>,
    pub(super) mirror: Arc<dyn Mirror>,
    pub(super) metrics: Arc<Metrics>,
}
