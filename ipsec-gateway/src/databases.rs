//! SAD and SPD of the gateway: those of the engine. With the back end `pfkey`, the kernel has the same SAs and
//! policies, and processes the packets; every change is made in both.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;

use ipsec_engine::{
    AnyAlgorithms, BackendError, HeapEngine, PolicyBackend, PolicyDirection, PolicyId, PolicyParams, Protocol,
    SaBackend, SaChange, SaEvent, SaId, SaStatus,
};
use ipsec_packet::{Instant, Selector};
use ipsec_sa::{SaParams, SpiRequest, Usage};

use crate::kernel::{Kernel, KernelError};
use crate::log;

/// Engine of the gateway.
pub type Engine = HeapEngine<AnyAlgorithms>;

/// Databases of SAs and policies.
pub struct Databases {
    engine: Engine,
    kernel: Option<Box<Kernel>>,
}

/// Error of a change of the databases, which are unchanged.
#[derive(Debug)]
pub enum DatabaseError {
    /// The engine refuses it.
    Engine(BackendError),
    /// The kernel refuses it.
    Kernel(KernelError),
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(e) => e.fmt(f),
            Self::Kernel(e) => write!(f, "kernel: {e}"),
        }
    }
}

impl std::error::Error for DatabaseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(e) => Some(e),
            Self::Kernel(e) => Some(e),
        }
    }
}

impl<E: Into<BackendError>> From<E> for DatabaseError {
    fn from(e: E) -> Self {
        Self::Engine(e.into())
    }
}

impl Deref for Databases {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Databases {
    /// Creates databases of an engine only.
    pub const fn new(engine: Engine) -> Self {
        Self { engine, kernel: None }
    }

    /// Attaches a kernel, in which later SAs and policies are installed as well.
    pub fn attach(&mut self, kernel: Kernel) {
        self.kernel = Some(Box::new(kernel));
    }

    /// Returns the engine for packets, timers and events. SAs and policies are changed by the other functions.
    pub const fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Returns the kernel, with the back end `pfkey`.
    pub fn kernel(&self) -> Option<&Kernel> {
        self.kernel.as_deref()
    }

    /// Returns the kernel for its events, with the back end `pfkey`.
    pub fn kernel_mut(&mut self) -> Option<&mut Kernel> {
        self.kernel.as_deref_mut()
    }

    /// Expires SAs. With the back end `pfkey`, the kernel does.
    pub fn tick(&mut self, now: Instant) {
        if self.kernel.is_none() {
            self.engine.tick(now);
        }
    }

    /// Returns the time of the next call of [`tick`](Self::tick).
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.kernel.is_none() { self.engine.poll_timeout() } else { None }
    }

    /// Returns the next event of an SA or a policy. An SA whose hard expiry the kernel reports no longer exists.
    pub fn poll_event(&mut self) -> Option<SaEvent> {
        let Some(kernel) = &mut self.kernel else { return self.engine.poll_event() };
        // The engine processes no packets: it has no events of its own that matter.
        while self.engine.poll_event().is_some() {}
        let event = kernel.poll_event()?;
        if let SaEvent::Expire(id, ipsec_engine::Expiry::Hard) = &event {
            let source = self.engine.sas().find(|sa| sa.key == *id).map(|sa| sa.source);
            source.map(|source| self.engine.remove(id, source));
        }
        Some(event)
    }

    /// Removes an SA. A kernel that has it no longer is not an error.
    pub fn remove(&mut self, id: &SaId, source: IpAddr) -> Option<Usage> {
        // A larval SA exists in the engine only.
        let is_installed = self.engine.sa(id, source).is_some_and(|sa| sa.sa.is_some());
        let usage = self.engine.remove(id, source);
        if let Some(kernel) = self.kernel.as_mut().filter(|_| is_installed)
            && let Err(e) = kernel.remove(id, source)
        {
            log::error(format_args!("kernel: SA {id} was not removed: {e}"));
        }
        usage
    }

    /// Adds a policy after the others of its priority.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn add_policy(&mut self, policy: PolicyParams) -> Result<PolicyId, DatabaseError> {
        let id = self.engine.add_policy(policy)?;
        self.follow(id, &policy)?;
        Ok(id)
    }

    /// Replaces policies by others. The kernel discards the packets of a removed policy until the one with its selector
    /// and direction has replaced it; a removed policy without one remains there until all are added. Returns the
    /// policies that are refused; those that they were to replace remain.
    pub fn replace_policies(
        &mut self,
        removed: impl IntoIterator<Item = PolicyId>,
        added: impl IntoIterator<Item = PolicyParams>,
    ) -> Vec<(Selector, DatabaseError)> {
        let taken = removed.into_iter().filter_map(|id| Some((id, self.engine.remove_policy(id)?)));
        let mut former: HashMap<_, _> =
            taken.map(|(id, policy)| ((policy.direction, policy.selector), (id, policy))).collect();
        let mut refused = Vec::new();
        for policy in added {
            let added = match former.remove(&(policy.direction, policy.selector)) {
                Some(former) => self.replace_taken(former, policy),
                None => self.add_policy(policy).map(drop),
            };
            refused.extend(added.err().map(|e| (policy.selector, e)));
        }
        for (id, policy) in former.into_values() {
            self.remove_from_kernel(id, &policy);
        }
        refused
    }

    /// Adds a policy, and replaces by it one of the kernel that the engine no longer has.
    fn replace_taken(&mut self, former: (PolicyId, PolicyParams), policy: PolicyParams) -> Result<(), DatabaseError> {
        let added = self.engine.add_policy(policy).map_err(DatabaseError::from).and_then(|id| {
            let Some(kernel) = &mut self.kernel else { return Ok(()) };
            kernel.replace_policy((former.0, &former.1), (id, &policy)).map_err(|e| {
                self.engine.remove_policy(id);
                DatabaseError::Kernel(e)
            })
        });
        if added.is_err() {
            self.engine.add_reserved_policy(former.0, former.1)?;
        }
        added
    }

    /// Reserves the number of a policy that is added later.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn reserve_policy_id(&mut self) -> Result<PolicyId, DatabaseError> {
        Ok(self.engine.reserve_policy_id()?)
    }

    /// Adds a policy with a number of [`reserve_policy_id`](Self::reserve_policy_id).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn add_reserved_policy(&mut self, id: PolicyId, policy: PolicyParams) -> Result<(), DatabaseError> {
        self.engine.add_reserved_policy(id, policy)?;
        self.follow(id, &policy)
    }

    /// Adds a policy of the engine to the kernel, or removes it from the engine.
    fn follow(&mut self, id: PolicyId, policy: &PolicyParams) -> Result<(), DatabaseError> {
        let Some(kernel) = &mut self.kernel else { return Ok(()) };
        kernel.add_policy(id, policy).map_err(|e| {
            self.engine.remove_policy(id);
            DatabaseError::Kernel(e)
        })
    }

    /// Removes a policy from the SPD.
    pub fn remove_policy(&mut self, id: PolicyId) -> Option<PolicyParams> {
        let removed = self.engine.remove_policy(id)?;
        self.remove_from_kernel(id, &removed);
        Some(removed)
    }

    fn remove_from_kernel(&mut self, id: PolicyId, policy: &PolicyParams) {
        let has_forward = self.engine.find_policy(PolicyDirection::Forward, &policy.selector).is_some();
        if let Some(kernel) = &mut self.kernel
            && let Err(e) = kernel.remove_policy(id, policy, has_forward)
        {
            log::error(format_args!("kernel: policy {id} was not removed: {e}"));
        }
    }
}

impl SaBackend for Databases {
    type Error = DatabaseError;

    const IS_LOCAL: bool = true;

    fn get_spi(&mut self, request: &SpiRequest, now: Instant) -> Result<Option<u32>, DatabaseError> {
        // The kernel refuses an SA with an SPI that another program has reserved.
        Ok(self.engine.get_spi(request, now)?)
    }

    fn add(&mut self, sa: &SaParams, now: Instant) -> Result<(), DatabaseError> {
        self.engine.add(sa, now)?;
        let Some(kernel) = &mut self.kernel else { return Ok(()) };
        kernel.add(sa).map_err(|e| {
            self.engine.remove(&sa.id, sa.source);
            DatabaseError::Kernel(e)
        })
    }

    fn update(&mut self, id: &SaId, source: IpAddr, change: &SaChange, now: Instant) -> Result<SaId, DatabaseError> {
        if self.kernel.is_some() {
            return Err(DatabaseError::Kernel(KernelError::UNCHANGEABLE));
        }
        Ok(SaBackend::update(&mut self.engine, id, source, change, now)?)
    }

    fn delete(&mut self, id: &SaId, source: IpAddr) -> Result<Option<Usage>, DatabaseError> {
        self.remove(id, source).map(Some).ok_or(DatabaseError::Engine(BackendError::NotFound(*id)))
    }

    fn flush(&mut self, protocol: Option<Protocol>) -> Result<(), DatabaseError> {
        self.engine.flush(protocol)?;
        self.kernel.as_mut().map_or(Ok(()), |kernel| kernel.flush(protocol)).map_err(DatabaseError::Kernel)
    }

    fn get(&self, id: &SaId, source: IpAddr) -> Option<SaStatus> {
        self.engine.get(id, source)
    }

    fn dump(&self, each: &mut dyn FnMut(&SaStatus)) {
        self.engine.dump(each);
    }

    fn poll_event(&mut self) -> Option<SaEvent> {
        Self::poll_event(self)
    }
}

impl PolicyBackend for Databases {
    type Error = DatabaseError;

    fn add_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, DatabaseError> {
        Self::add_policy(self, *policy).map(Some)
    }

    fn update_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, DatabaseError> {
        let former = self.find_policy(policy.direction, &policy.selector);
        match self.replace_policies(former, [*policy]).pop() {
            Some((_, e)) => Err(e),
            None => Ok(self.find_policy(policy.direction, &policy.selector)),
        }
    }

    fn delete_policy(&mut self, direction: PolicyDirection, selector: &Selector) -> Result<bool, DatabaseError> {
        let found = self.find_policy(direction, selector);
        Ok(found.and_then(|id| self.remove_policy(id)).is_some())
    }

    fn flush_policies(&mut self) -> Result<(), DatabaseError> {
        let all: Vec<_> = self.policies().map(|(id, _)| id).collect();
        all.into_iter().for_each(|id| _ = self.remove_policy(id));
        Ok(())
    }

    fn dump_policies(&self, each: &mut dyn FnMut(PolicyId, &PolicyParams)) {
        self.engine.dump_policies(each);
    }
}
