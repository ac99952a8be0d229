//! Negotiation between two endpoints with a clock of the test, over wires without and with faults.

mod aggressive;
mod agreement;
mod attacks;
mod bundles;
mod commit;
mod delete;
mod dpd;
mod endpoint;
mod faults;
mod fragments;
mod limits;
mod nat;
mod order;
mod quick;
mod random;
mod recorded;
mod refusals;
mod renewal;
mod restart;
mod retransmission;
mod secrets;
mod signatures;
mod spy;
mod states;
mod suspension;
mod wire;
