//! Control groups on v2, v1 and hybrid hosts, behind one trait.
