//! Probes: one task per probe, results as data for the planner.
