//! Databases of the engine, with the state of SAs that are added and removed.

use std::net::IpAddr;

use ipsec_packet::{Instant, Selector};
use ipsec_sa::{
    PolicyBackend, PolicyDirection, PolicyId, PolicyParams, Protocol, SaBackend, SaChange, SaEvent, SaId, SaParams,
    SaStatus, SpiRequest, Usage,
};

use super::ManualState;
use crate::clock;
use crate::databases::{DatabaseError, Databases};

/// Engine whose SAs with manual keys are changed.
pub struct WithState<'e> {
    /// Databases of the engine.
    pub engine: &'e mut Databases,
    /// State of the SAs, if it is stored.
    pub state: Option<&'e mut ManualState>,
    /// Time of the changes.
    pub now: Instant,
}

impl WithState<'_> {
    fn release(&mut self, is_removed: impl Fn(&SaId) -> bool) {
        let Some(state) = &mut self.state else { return };
        state.drop_statements(&is_removed);
        let ids: Vec<_> = state.sas.keys().copied().filter(is_removed).collect();
        ids.iter().for_each(|id| state.release(self.engine, id, self.now, clock::unix_seconds()));
    }
}

impl SaBackend for WithState<'_> {
    type Error = DatabaseError;

    const IS_LOCAL: bool = true;

    fn get_spi(&mut self, request: &SpiRequest, now: Instant) -> Result<Option<u32>, DatabaseError> {
        self.engine.get_spi(request, now)
    }

    fn add(&mut self, sa: &SaParams, now: Instant) -> Result<(), DatabaseError> {
        self.engine.add(sa, now)?;
        if let Some(state) = &mut self.state {
            state.adopt(self.engine, sa, clock::unix_seconds());
        }
        Ok(())
    }

    fn update(&mut self, id: &SaId, source: IpAddr, change: &SaChange, now: Instant) -> Result<SaId, DatabaseError> {
        SaBackend::update(self.engine, id, source, change, now)
    }

    fn delete(&mut self, id: &SaId, source: IpAddr) -> Result<Option<Usage>, DatabaseError> {
        self.release(|own| own == id);
        self.engine.delete(id, source)
    }

    fn flush(&mut self, protocol: Option<Protocol>) -> Result<(), DatabaseError> {
        self.release(|own| protocol.is_none_or(|protocol| own.protocol == protocol));
        self.engine.flush(protocol)
    }

    fn get(&self, id: &SaId, source: IpAddr) -> Option<SaStatus> {
        self.engine.get(id, source)
    }

    fn dump(&self, each: &mut dyn FnMut(&SaStatus)) {
        self.engine.dump(each);
    }

    fn poll_event(&mut self) -> Option<SaEvent> {
        SaBackend::poll_event(self.engine)
    }
}

impl PolicyBackend for WithState<'_> {
    type Error = DatabaseError;

    fn add_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, DatabaseError> {
        PolicyBackend::add_policy(self.engine, policy)
    }

    fn update_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, DatabaseError> {
        self.engine.update_policy(policy)
    }

    fn delete_policy(&mut self, direction: PolicyDirection, selector: &Selector) -> Result<bool, DatabaseError> {
        self.engine.delete_policy(direction, selector)
    }

    fn flush_policies(&mut self) -> Result<(), DatabaseError> {
        self.engine.flush_policies()
    }

    fn dump_policies(&self, each: &mut dyn FnMut(PolicyId, &PolicyParams)) {
        self.engine.dump_policies(each);
    }
}
