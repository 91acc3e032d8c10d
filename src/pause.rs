//! Pause: the process that holds the pod's network, IPC and UTS namespaces.
