//! Data that outlives a process: hosho's tables and its queue contract.
