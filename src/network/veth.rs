//! A pod's cable: a pair of veth interfaces, one end plugged into the bridge, the other the pod's `eth0`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use netlink_bindings::rt_link::{Ifinfomsg, PushLinkAttrs, Request};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_nested_header};
use nix::errno::Errno;

use super::link;
use super::netlink::{Batch, Socket};
use super::{Error, PodAddress, address, names, visit};
use crate::container::sysctls;
use crate::failpoint;

/// The pod's end.
const INSIDE: &str = "eth0";

/// Always the first interface of a network namespace (LOOPBACK_IFINDEX, linux/netdevice.h).
const LOOPBACK: i32 = 1;

// linux/if_link.h, linux/veth.h: parts that the kernel's machine-readable description of rtnetlink leaves out.
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

/// A pair as it should be.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    /// Name of the host's end.
    pub(super) host: &'a str,
    /// Index of the bridge.
    pub(super) bridge: i32,
    pub(super) address: PodAddress,
    /// Kernel parameters of the pod's end, name and value; see [`is_of_interface`].
    pub(super) sysctls: &'a [(String, String)],
}

/// True for a kernel parameter that is there only when the pod's end is, such as `net.ipv4.conf.eth0.arp_announce`. Its name
/// has dots between words.
pub(super) fn is_of_interface(sysctl: &str) -> bool {
    sysctl.split('.').any(|word| word == INSIDE)
}

impl Pair<'_> {
    /// Connects a network namespace. Returns when packets pass. An intact connection is left as it is.
    pub(super) fn connect(&self, host: &mut Socket, netns: &OwnedFd) -> Result<(), Error> {
        let mut pod = Socket::route_in(netns.as_fd())?;
        match host.execute(self.creation(netns)) {
            Err(e) if e.errno() == Some(Errno::EEXIST) => {
                if !self.is_connected(host, &mut pod)? {
                    // It leads to a namespace of the past, which the kernel has not cleared away yet.
                    link::delete(host, self.host)?;
                    host.execute(self.creation(netns))?;
                }
            }
            done => done?,
        }
        failpoint::reached("network.cable_made");
        self.configure(&mut pod, netns)?;
        failpoint::reached("network.cable_ready");
        self.wait(host, &mut pod)
    }

    /// One request makes both ends, puts one into the pod's namespace, plugs the other into the bridge and sets it up.
    fn creation(&self, netns: &OwnedFd) -> Batch {
        let mut request = Request::new().set_create().set_excl().op_newlink_do(&link::up(0));
        let mut info = one_queue(request.encode())
            .push_ifname_bytes(self.host.as_bytes())
            .push_master(self.bridge as u32)
            .nested_linkinfo()
            .push_kind(c"veth");
        let bytes = info.as_vec_mut();
        let data = push_nested_header(bytes, IFLA_INFO_DATA);
        let peer = push_nested_header(bytes, VETH_INFO_PEER);
        bytes.extend(Ifinfomsg::default().as_slice());
        let _ = one_queue(PushLinkAttrs::new(&mut *bytes))
            .push_ifname_bytes(INSIDE.as_bytes())
            .push_address(&names::mac(self.address.ip))
            .push_net_ns_fd(netns.as_raw_fd() as u32);
        finalize_nested_header(bytes, peer);
        finalize_nested_header(bytes, data);
        info.end_nested();

        let mut batch = Batch::default();
        batch.add(format!("create veth pair {}", self.host), &request);
        batch
    }

    /// True if the two interfaces of these names are each other's end.
    fn is_connected(&self, host: &mut Socket, pod: &mut Socket) -> Result<bool, Error> {
        let outside = link::by_name(host, self.host)?;
        let inside = link::by_name(pod, INSIDE)?;
        Ok(outside.zip(inside).is_some_and(|(outside, inside)| {
            outside.peer == Some(inside.index)
                && inside.peer == Some(outside.index)
                && outside.master == Some(self.bridge)
        }))
    }

    fn configure(&self, pod: &mut Socket, netns: &OwnedFd) -> Result<(), Error> {
        let PodAddress { ip, prefix_len, gateway } = self.address;
        let inside = link::by_name(pod, INSIDE)?;
        let inside = inside.ok_or_else(|| Error::kernel("get interface eth0 of the pod")(Errno::ENODEV))?;
        // What is up has had them, and may have been given others since by whoever may.
        if !inside.up && !self.sysctls.is_empty() {
            visit::within(netns.as_fd(), || Ok(sysctls::set(self.sysctls)?))?;
        }
        let mut batch = Batch::default();
        batch.add("set lo up in the pod", &Request::new().op_setlink_do(&link::up(LOOPBACK)));
        address::assign(&mut batch, inside.index, ip, prefix_len);
        batch.add("set eth0 up in the pod", &Request::new().op_setlink_do(&link::up(inside.index)));
        address::route_default(&mut batch, inside.index, gateway);
        pod.execute(batch)
    }

    /// The kernel tells both ends, and a bridge that had no port, that there is a carrier from a work queue; until then
    /// they drop what is sent, and a lost first ARP request or SYN costs its sender a second. Since Linux 6.8 asking for
    /// an interface does that work on the spot; on older ones it takes a moment, and seconds when dozens of links come
    /// at once. More than two are not worth the wait: what is lost is a second of the first sender's, not the pod.
    fn wait(&self, host: &mut Socket, pod: &mut Socket) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            let inside = link::by_name(pod, INSIDE)?;
            let outside = link::by_name(host, self.host)?;
            let bridge = link::by_index(host, self.bridge)?;
            let running = [inside, outside, bridge].iter().flatten().filter(|link| link.running).count();
            if running == 3 || start.elapsed() > Duration::from_secs(2) {
                return Ok(());
            }
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// By default each end has as many queues as the machine has processors, each with files in sysfs; they are of use to XDP
/// only, and cost the more the larger the machine.
fn one_queue<P: Pusher>(attributes: PushLinkAttrs<P>) -> PushLinkAttrs<P> {
    attributes.push_num_tx_queues(1).push_num_rx_queues(1)
}
