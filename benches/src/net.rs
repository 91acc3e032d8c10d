//! The least of netlink that a pod needs: a bridge, a veth pair, an address, a route.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use netlink_bindings::traits::{NetlinkRequest, Protocol, Pusher};
use netlink_bindings::utils::{finalize_nested_header, push_nested_header};
use netlink_bindings::{rt_addr, rt_link, rt_neigh, rt_route};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const UP: u32 = libc::IFF_UP as u32;

/// A socket, and the messages that go out with the next [`send`](Self::send).
#[derive(Debug)]
pub struct Netlink {
    fd: OwnedFd,
    bytes: Vec<u8>,
    count: usize,
}

impl Netlink {
    /// A socket in the network namespace of this thread.
    pub fn open() -> Result<Self> {
        let protocol = SockProtocol::NetlinkRoute;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        Ok(Self { fd, bytes: Vec::with_capacity(512), count: 0 })
    }

    /// Makes a bridge, up and with an address.
    pub fn add_bridge(&mut self, name: &str, address: Ipv4Addr, prefix_len: u8) -> Result<()> {
        let mut request = rt_link::Request::new().set_create().op_newlink_do(&up(0));
        request
            .encode()
            .push_ifname_bytes(name.as_bytes())
            .push_address(&mac(address))
            .nested_linkinfo()
            .nested_data_bridge()
            .push_forward_delay(0)
            .push_stp_state(0);
        self.push(&request);
        self.send().with_context(|| format!("create bridge {name}"))?;
        self.push_address(index(name)?, address, prefix_len);
        self.send().with_context(|| format!("set address of bridge {name}"))
    }

    /// Deletes an interface; fine when there is none.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        let mut request = rt_link::Request::new().op_dellink_do(&rt_link::Ifinfomsg::default());
        request.encode().push_ifname_bytes(name.as_bytes());
        self.push(&request);
        match self.send() {
            Err(e) if e.downcast_ref() != Some(&Errno::ENODEV) => Err(e),
            _ => Ok(()),
        }
    }

    /// Makes a veth pair: one end up and on the bridge, the other `eth0` in another namespace.
    pub fn add_veth(
        &mut self,
        name: &str,
        bridge: u32,
        netns: BorrowedFd<'_>,
        address: Ipv4Addr,
    ) -> Result<()> {
        let mut request = rt_link::Request::new().set_create().set_excl().op_newlink_do(&up(0));
        let mut info = request
            .encode()
            .push_num_tx_queues(1)
            .push_num_rx_queues(1)
            .push_ifname_bytes(name.as_bytes())
            .push_master(bridge)
            .nested_linkinfo()
            .push_kind(c"veth");
        let bytes = info.as_vec_mut();
        let data = push_nested_header(bytes, 2); // IFLA_INFO_DATA
        let peer = push_nested_header(bytes, 1); // VETH_INFO_PEER
        bytes.extend(rt_link::Ifinfomsg::default().as_slice());
        let _ = rt_link::PushLinkAttrs::new(&mut *bytes)
            .push_num_tx_queues(1)
            .push_num_rx_queues(1)
            .push_ifname(c"eth0")
            .push_address(&mac(address))
            .push_net_ns_fd(netns.as_raw_fd() as u32);
        finalize_nested_header(bytes, peer);
        finalize_nested_header(bytes, data);
        info.end_nested();
        self.push(&request);
        self.send().with_context(|| format!("create veth pair {name}"))
    }

    /// Inside a pod: `lo` and `eth0` up, an address, a default route. `eth0` is the second interface there is.
    pub fn configure(&mut self, address: Ipv4Addr, prefix_len: u8, gateway: Ipv4Addr) -> Result<()> {
        let eth0 = index("eth0")?;
        self.push(&rt_link::Request::new().op_setlink_do(&up(1)));
        self.push_address(eth0, address, prefix_len);
        self.push(&rt_link::Request::new().op_setlink_do(&up(eth0)));
        let header = rt_route::Rtmsg {
            rtm_family: libc::AF_INET as u8,
            rtm_table: libc::RT_TABLE_MAIN,
            rtm_protocol: libc::RTPROT_BOOT,
            rtm_type: libc::RTN_UNICAST,
            ..rt_route::Rtmsg::default()
        };
        let mut request = rt_route::Request::new().set_create().op_newroute_do(&header);
        request.encode().push_gateway(gateway.into()).push_oif(eth0);
        self.push(&request);
        self.send().context("configure the pod's interfaces")
    }

    /// Forgets what is known of a neighbour, and that it did not answer; fine when nothing is.
    pub fn forget(&mut self, address: Ipv4Addr, interface: u32) -> Result<()> {
        let header = rt_neigh::Ndmsg {
            ndm_family: libc::AF_INET as u8,
            ndm_ifindex: interface as i32,
            ..rt_neigh::Ndmsg::default()
        };
        let mut request = rt_neigh::Request::new().op_delneigh_do(&header);
        request.encode().push_dst(address.into());
        self.push(&request);
        match self.send() {
            Err(e) if e.downcast_ref() != Some(&Errno::ENOENT) => Err(e),
            _ => Ok(()),
        }
    }

    fn push_address(&mut self, index: u32, address: Ipv4Addr, prefix_len: u8) {
        let header = rt_addr::Ifaddrmsg {
            ifa_family: libc::AF_INET as u8,
            ifa_prefixlen: prefix_len,
            ifa_index: index,
            ..rt_addr::Ifaddrmsg::default()
        };
        let mut request = rt_addr::Request::new().set_change().op_newaddr_do(&header);
        request.encode().push_local(address.into()).push_address(address.into());
        self.push(&request);
    }

    fn push<R: NetlinkRequest>(&mut self, request: &R) {
        let Protocol::Raw { request_type, .. } = request.protocol() else { return };
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16 | request.flags();
        self.bytes.extend((16 + request.payload().len() as u32).to_ne_bytes());
        self.bytes.extend(request_type.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend([0; 8]);
        self.bytes.extend(request.payload());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.count += 1;
    }

    /// Sends what was pushed, and reads one acknowledgement for each.
    fn send(&mut self) -> Result<()> {
        send(self.fd.as_raw_fd(), &self.bytes, MsgFlags::empty())?;
        self.bytes.clear();
        let mut failed = None;
        for _ in 0..std::mem::take(&mut self.count) {
            let mut buffer = [0; 4096];
            let length = recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            match buffer[..length].get(16..).and_then(|it| it.first_chunk()).map(|it| i32::from_ne_bytes(*it))
            {
                Some(0) => {}
                Some(error) => failed = failed.or(Some(Errno::from_raw(-error))),
                None => bail!("short answer of the kernel"),
            }
        }
        failed.map_or(Ok(()), |errno| Err(errno.into()))
    }
}

/// Index of an interface in the namespace of this thread.
pub fn index(name: &str) -> Result<u32> {
    nix::net::if_::if_nametoindex(name).with_context(|| format!("find interface {name}"))
}

fn up(index: u32) -> rt_link::Ifinfomsg {
    rt_link::Ifinfomsg {
        ifi_index: index as i32,
        ifi_flags: UP,
        ifi_change: UP,
        ..rt_link::Ifinfomsg::default()
    }
}

fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x6b, a, b, c, d]
}
