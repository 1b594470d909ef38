//! Containers: what OCI runtimes and engines are told, so that a container has clocks of its own.

pub(crate) mod runtime;
