//! The pod network: one bridge, a veth pair per pod, addresses from the pod CIDR, masquerade.
