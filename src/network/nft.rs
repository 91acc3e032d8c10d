//! Our nftables table, by netlink: hides the pods' addresses from the world, and the node's loopback from the pods.
//!
//! ```text
//! table ip mkubelet_BRIDGE {
//!     comment "pods of RUN_DIRECTORY[; net.ipv4.ip_forward was 0]"
//!     chain prerouting  { type filter hook prerouting priority raw;  iifname BRIDGE ip daddr 127.0.0.0/8 drop }
//!     chain postrouting { type nat hook postrouting priority srcnat; ip saddr CIDR ip daddr != CIDR masquerade }
//! }
//! ```
//!
//! Each change is one transaction: the table is there as a whole or not at all.

use std::ffi::CStr;
use std::path::Path;

use ipnet::Ipv4Net;
use netlink_bindings::nftables::{
    CmpOps, MetaKeys, Nfgenmsg, PayloadBase, PushExprListAttrs, Registers, Request, VerdictCode,
};
use netlink_bindings::traits::Pusher;

use super::Error;
use super::forwarding::Forwarding;
use super::names::TABLE_PREFIX;
use super::netlink::{Batch, Socket};

const AF_INET: u8 = 2;
/// NFNL_SUBSYS_NFTABLES (linux/netfilter/nfnetlink.h): whom a transaction is for.
const SUBSYSTEM: u16 = 10;
// linux/netfilter.h, linux/netfilter_ipv4.h
const PREROUTING: u32 = 0;
const POSTROUTING: u32 = 4;
const PRIORITY_RAW: i32 = -300;
const PRIORITY_SRCNAT: i32 = 100;
// Offsets in the header of IPv4 (RFC 791, section 3.1).
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

/// How `nft` encodes a table's comment in its user data: type, length with NUL, text, NUL.
const COMMENT: u8 = 0;
const COMMENT_MAX: usize = 128;

/// Ends the comment of a table that was made when the host did not forward.
const FORWARDING_WAS_OFF: &str = "; net.ipv4.ip_forward was 0";

/// The table as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) bridge: String,
    pub(super) cidr: Ipv4Net,
    /// Whose it is, for whoever lists the rules.
    pub(super) comment: String,
}

/// A table that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    name: String,
    forwarding_was_off: bool,
}

impl Table {
    pub(super) fn new(name: String, bridge: String, cidr: Ipv4Net, run: &Path) -> Self {
        Self { name, bridge, cidr: cidr.trunc(), comment: format!("pods of {}", run.display()) }
    }

    /// True if the table is there.
    pub(super) fn exists(&self, socket: &mut Socket) -> Result<bool, Error> {
        Ok(list(socket)?.iter().any(|table| table.name == self.name))
    }

    /// Makes the table, anew if there is one, and sees to it that the kernel forwards.
    pub(super) fn install(&self, socket: &mut Socket) -> Result<(), Error> {
        let forwarding = Forwarding::lock()?;
        let noted = list(socket)?.iter().any(|table| table.forwarding_was_off);
        // The note first: after a crash in between, the next one finds it and turns forwarding on as well.
        socket.execute(self.creation(noted || !forwarding.is_on()?))?;
        forwarding.set(true)
    }

    /// Deletes the table; the last one of the host takes forwarding with it if it was off before.
    pub(super) fn remove(&self, socket: &mut Socket) -> Result<(), Error> {
        let forwarding = Forwarding::lock()?;
        let (own, others): (Vec<_>, Vec<_>) =
            list(socket)?.into_iter().partition(|table| table.name == self.name);
        if own.is_empty() {
            return Ok(());
        }
        if others.is_empty() && own.iter().any(|table| table.forwarding_was_off) {
            forwarding.set(false)?;
        }
        socket.execute(self.deletion())
    }

    /// One transaction. A table that may be there is deleted first; to delete one that is not there would be an error, so
    /// it is made (again) before that.
    fn creation(&self, forwarding_was_off: bool) -> Batch {
        let note = if forwarding_was_off { FORWARDING_WAS_OFF } else { "" };
        let cidr = self.cidr;
        let bridge = self.interface();
        transaction(|batch| {
            let mut request = Request::new().set_create().op_newtable_do(&header());
            request.encode().push_name_bytes(self.name.as_bytes());
            batch.add(format!("create nftables table {}", self.name), &request);
            self.delete(batch);
            let mut request = Request::new().set_create().set_excl().op_newtable_do(&header());
            request
                .encode()
                .push_name_bytes(self.name.as_bytes())
                .push_userdata(&user_data(&self.comment, note));
            batch.add(format!("create nftables table {}", self.name), &request);

            self.chain(batch, c"prerouting", c"filter", PREROUTING, PRIORITY_RAW);
            self.rule(batch, c"prerouting", |rule| {
                let rule = compare(meta(rule, MetaKeys::Iifname), CmpOps::Eq, &bridge);
                drop_packet(network(rule, DESTINATION, CmpOps::Eq, LOOPBACK))
            });
            self.chain(batch, c"postrouting", c"nat", POSTROUTING, PRIORITY_SRCNAT);
            self.rule(batch, c"postrouting", |rule| {
                let rule = network(rule, SOURCE, CmpOps::Eq, cidr);
                masquerade(network(rule, DESTINATION, CmpOps::Neq, cidr))
            });
        })
    }

    fn deletion(&self) -> Batch {
        transaction(|batch| self.delete(batch))
    }

    fn delete(&self, batch: &mut Batch) {
        let mut request = Request::new().op_deltable_do(&header());
        request.encode().push_name_bytes(self.name.as_bytes());
        batch.add(format!("delete nftables table {}", self.name), &request);
    }

    fn chain(&self, batch: &mut Batch, name: &CStr, kind: &CStr, hook: u32, priority: i32) {
        let mut request = Request::new().set_create().op_newchain_do(&header());
        request
            .encode()
            .push_table_bytes(self.name.as_bytes())
            .push_name(name)
            .nested_hook()
            .push_num(hook)
            .push_priority(priority)
            .end_nested()
            .push_type(kind);
        batch.add(format!("create nftables chain {} {}", self.name, name.to_string_lossy()), &request);
    }

    fn rule<F>(&self, batch: &mut Batch, chain: &CStr, expressions: F)
    where
        F: FnOnce(PushExprListAttrs<&mut Vec<u8>>) -> PushExprListAttrs<&mut Vec<u8>>,
    {
        let mut list = Vec::new();
        let _ = expressions(PushExprListAttrs::new(&mut list));
        let mut request = Request::new().set_create().set_append().op_newrule_do(&header());
        let mut rule =
            request.encode().push_table_bytes(self.name.as_bytes()).push_chain(chain).nested_expressions();
        rule.as_vec_mut().extend(list);
        rule.end_nested();
        batch.add(format!("create nftables rule in {} {}", self.name, chain.to_string_lossy()), &request);
    }

    /// The bridge's name as the kernel compares it: all 16 bytes.
    fn interface(&self) -> [u8; 16] {
        let mut name = [0; 16];
        for (to, from) in name.iter_mut().zip(self.bridge.bytes().take(15)) {
            *to = from;
        }
        name
    }
}

/// The node's loopback. The kernel drops such packets too (route_localnet is 0), until somebody turns that on.
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8);

/// All tables of mkubelet, of this agent and of others.
fn list(socket: &mut Socket) -> Result<Vec<Listed>, Error> {
    let mut found = Vec::new();
    socket
        .ask(&Request::new().op_gettable_dump(&header()), |(_, attributes)| {
            let name =
                attributes.get_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with(TABLE_PREFIX) {
                let user_data = attributes.get_userdata().unwrap_or_default();
                found.push(Listed { name, forwarding_was_off: has_note(user_data) });
            }
        })
        .map_err(Error::kernel("list nftables tables"))?;
    Ok(found)
}

fn transaction(fill: impl FnOnce(&mut Batch)) -> Batch {
    let mut header = Nfgenmsg::new();
    header.set_res_id(SUBSYSTEM);
    let mut batch = Batch::default();
    batch.add_silent("begin nftables transaction", &Request::new().op_batch_begin_do(&header));
    fill(&mut batch);
    batch.add_silent("commit nftables transaction", &Request::new().op_batch_end_do(&header));
    batch
}

fn header() -> Nfgenmsg {
    Nfgenmsg { nfgen_family: AF_INET, ..Nfgenmsg::new() }
}

fn user_data(comment: &str, note: &str) -> Vec<u8> {
    let mut end = comment.len().min(COMMENT_MAX - 1 - note.len());
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    let text = format!("{}{note}\0", &comment[..end]);
    let mut bytes = vec![COMMENT, text.len() as u8];
    bytes.extend(text.as_bytes());
    bytes
}

fn has_note(user_data: &[u8]) -> bool {
    let text = user_data.get(2..).unwrap_or_default();
    user_data.first() == Some(&COMMENT)
        && text.strip_suffix(b"\0").unwrap_or(text).ends_with(FORWARDING_WAS_OFF.as_bytes())
}

// Expressions. Each takes the list of a rule and gives it back one or more longer.

type Expressions<'a> = PushExprListAttrs<&'a mut Vec<u8>>;

fn meta(list: Expressions<'_>, key: MetaKeys) -> Expressions<'_> {
    list.nested_elem()
        .nested_data_meta()
        .push_key(key as u32)
        .push_dreg(Registers::Reg1 as u32)
        .end_nested()
        .end_nested()
}

fn compare<'a>(list: Expressions<'a>, operator: CmpOps, value: &[u8]) -> Expressions<'a> {
    list.nested_elem()
        .nested_data_cmp()
        .push_sreg(Registers::Reg1 as u32)
        .push_op(operator as u32)
        .nested_data()
        .push_value(value)
        .end_nested()
        .end_nested()
        .end_nested()
}

/// The address at `offset` of the header is (not) in `network`.
fn network(list: Expressions<'_>, offset: u32, operator: CmpOps, network: Ipv4Net) -> Expressions<'_> {
    let list = list
        .nested_elem()
        .nested_data_payload()
        .push_dreg(Registers::Reg1 as u32)
        .push_base(PayloadBase::NetworkHeader as u32)
        .push_offset(offset)
        .push_len(4)
        .end_nested()
        .end_nested()
        .nested_elem()
        .nested_data_bitwise()
        .push_sreg(Registers::Reg1 as u32)
        .push_dreg(Registers::Reg1 as u32)
        .push_len(4)
        .nested_mask()
        .push_value(&network.netmask().octets())
        .end_nested()
        .nested_xor()
        .push_value(&[0; 4])
        .end_nested()
        .end_nested()
        .end_nested();
    compare(list, operator, &network.network().octets())
}

fn drop_packet(list: Expressions<'_>) -> Expressions<'_> {
    list.nested_elem()
        .nested_data_immediate()
        .push_dreg(Registers::RegVerdict as u32)
        .nested_data()
        .nested_verdict()
        .push_code(VerdictCode::Drop as u32)
        .end_nested()
        .end_nested()
        .end_nested()
        .end_nested()
}

fn masquerade(list: Expressions<'_>) -> Expressions<'_> {
    list.nested_elem().push_name(c"masq").end_nested()
}

/// Names of all our tables.
#[cfg(test)]
pub(super) fn names(socket: &mut Socket) -> Vec<String> {
    list(socket).unwrap().into_iter().map(|table| table.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bridge: &str, cidr: &str) -> Table {
        Table::new(
            format!("mkubelet_{bridge}"),
            bridge.to_owned(),
            cidr.parse().unwrap(),
            Path::new("/run/mkubelet"),
        )
    }

    #[test]
    fn the_note_on_forwarding_survives_any_length_of_comment() {
        for comment in ["", "pods of /run/mkubelet", &"ä".repeat(200)] {
            assert!(has_note(&user_data(comment, FORWARDING_WAS_OFF)), "{comment}");
            assert!(!has_note(&user_data(comment, "")), "{comment}");
            assert!(user_data(comment, FORWARDING_WAS_OFF).len() <= COMMENT_MAX + 2);
        }
        assert!(!has_note(&[]));
        assert!(!has_note(&[COMMENT]));
    }

    #[test]
    fn a_masquerade_rule_is_these_bytes() {
        let mut list = Vec::new();
        let cidr = "10.85.0.0/16".parse().unwrap();
        let rule = network(PushExprListAttrs::new(&mut list), SOURCE, CmpOps::Eq, cidr);
        let _ = masquerade(network(rule, DESTINATION, CmpOps::Neq, cidr));
        let names: Vec<_> =
            [b"payload".as_slice(), b"bitwise", b"cmp", b"payload", b"bitwise", b"cmp", b"masq"].into();
        let mut rest = list.as_slice();
        for name in names {
            let at = rest.windows(name.len()).position(|window| window == name).unwrap();
            rest = &rest[at + name.len()..];
        }
        assert_eq!(list.windows(4).filter(|window| *window == [255, 255, 0, 0]).count(), 2);
        assert_eq!(list.windows(4).filter(|window| *window == [10, 85, 0, 0]).count(), 2);
    }

    #[test]
    fn a_table_is_made_in_one_transaction() {
        let batch = table("mkubelet0", "10.85.0.7/16").creation(true);
        // (type, flags) of each message: begin, table, delete, table, chain, rule, chain, rule, end
        let mut messages = Vec::new();
        let mut bytes = batch.bytes();
        while let [a, b, c, d, kind, subsystem, flags, more, ..] = *bytes {
            messages.push((subsystem, kind, u16::from_le_bytes([flags, more])));
            bytes = &bytes[u32::from_le_bytes([a, b, c, d]).next_multiple_of(4) as usize..];
        }
        let expected = [
            (0, 16, 0x001),
            (10, 0, 0x405),
            (10, 2, 0x005),
            (10, 0, 0x605),
            (10, 3, 0x405),
            (10, 6, 0xc05),
            (10, 3, 0x405),
            (10, 6, 0xc05),
            (0, 17, 0x001),
        ];
        assert_eq!(messages, expected);
    }
}
