//! What is counted when somebody looks at `/metrics`: the registry as it is at that moment.

use std::sync::Arc;

use prometheus::{IntGauge, IntGaugeVec};

use super::metrics::CLIENTS;
use super::pollers::Poller;
use crate::metrics;
use crate::registry::{Discovered, EXPIRY_SPANS, Now, Registry};

/// What is counted when somebody looks.
pub(super) struct Gauges {
    registrations: IntGauge,
    groups: IntGauge,
    quarantined: IntGauge,
    group_registrations: IntGaugeVec,
    expiring: IntGaugeVec,
    selections: IntGauge,
    selection_bytes: IntGauge,
    pollers: IntGaugeVec,
    list_bytes: IntGauge,
    store_up: IntGauge,
    stale: IntGauge,
}

impl Gauges {
    pub(super) fn new(registry: &prometheus::Registry) -> Gauges {
        let gauge = |name: &str, help: &str| metrics::gauge(registry, name, help);
        Gauges {
            registrations: gauge("inventor_registrations", "Live registrations."),
            groups: gauge("inventor_groups", "Target groups with at least one live registration."),
            quarantined: gauge(
                "inventor_registrations_quarantined",
                "Stored values left out of all lists because Prometheus would refuse them.",
            ),
            group_registrations: metrics::gauges(
                registry,
                "inventor_group_registrations",
                "Live registrations of each of the largest groups.",
                &["group"],
            ),
            expiring: metrics::gauges(
                registry,
                "inventor_registrations_expiring",
                "Live registrations that expire within this time unless they are renewed.",
                &["within"],
            ),
            selections: gauge("inventor_selections", "Selections that are remembered for their next polls."),
            selection_bytes: gauge("inventor_selection_bytes", "What these selections take in memory."),
            pollers: metrics::gauges(
                registry,
                "inventor_pollers",
                "Clients that polled a list within the hour, by what they can be recognised as and whether they still do.",
                &["client", "state"],
            ),
            list_bytes: gauge("inventor_list_bytes", "Size of the response to /discover in bytes."),
            store_up: gauge("inventor_store_up", "1 if the store can be read and written, 0 if not."),
            stale: gauge(
                "inventor_list_stale_seconds",
                "How long the lists may have been out of date because the store is unavailable; 0 if they are current.",
            ),
        }
    }

    /// Counts the registrations of the largest groups. A group that is gone has no series any more.
    pub(super) fn set_groups(&self, largest: &[(Arc<str>, usize)]) {
        self.group_registrations.reset();
        for (name, registrations) in largest {
            self.group_registrations.with_label_values(&[&**name]).set(whole(*registrations));
        }
    }

    /// Counts who polls: `current`, or `late` after three of its intervals.
    pub(super) fn set_pollers(&self, pollers: &[(bool, Poller)]) {
        for client in CLIENTS {
            for (state, is_late) in [("current", false), ("late", true)] {
                let count = pollers.iter().filter(|(late, poller)| poller.client == client && *late == is_late).count();
                self.pollers.with_label_values(&[client, state]).set(whole(count));
            }
        }
    }

    pub(super) fn set(&self, registry: &Registry, discovered: Option<&Discovered>, now: Now) {
        let counts = registry.view.counts(now.monotonic);
        self.registrations.set(whole(counts.registrations));
        self.groups.set(whole(counts.groups));
        self.selections.set(whole(counts.selections));
        self.selection_bytes.set(whole(counts.selection_bytes));
        self.quarantined.set(whole(counts.quarantined));
        for ((name, _), expiring) in EXPIRY_SPANS.into_iter().zip(registry.view.expiring(now.monotonic)) {
            self.expiring.with_label_values(&[name]).set(whole(expiring));
        }
        self.store_up.set(registry.health(now).is_ok().into());
        if let Some(Discovered { list, stale }) = discovered {
            self.list_bytes.set(whole(list.rendering(false).parts.iter().map(|part| part.len()).sum()));
            self.stale.set(stale.map_or(0, |stale| i64::try_from(stale.as_secs()).unwrap_or(i64::MAX)));
        }
    }
}

fn whole(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
