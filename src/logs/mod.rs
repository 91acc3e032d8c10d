//! Container logs in the CRI format: written by the shim, read by the agent.
