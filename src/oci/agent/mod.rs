//! `elsewhen agent`: gives containers their namespaces.

mod order;

pub(crate) use order::take;
