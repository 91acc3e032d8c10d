# dnsmasq: Debian's small DNS server with the libraries that it needs, for pods that wait for names.

# A pod says by its args where names come from, such as --hostsdir=DIRECTORY: files in the format of /etc/hosts.
entrypoint=(dnsmasq --keep-in-foreground --user=root --pid-file= --log-facility=- --log-queries --no-resolv --no-hosts)
cmd=()
exposed_ports=(53/udp 53/tcp)

fill() {
    local root=$1
    # shellcheck disable=SC2046
    unpack "$root" $(libraries dnsmasq-base) dnsmasq-base
    # What serves D-Bus, systemd or resolvconf has no use here.
    rm -rf "$root"/etc/dbus-1 "$root"/usr/share/dbus-1 "$root"/usr/lib/{resolvconf,systemd}

    mkdir -p "$root"/{dev,etc,proc,root,run,sys,tmp,var/tmp,var/lib/misc}
    chmod 0700 "$root/root"
    chmod 1777 "$root/tmp" "$root/var/tmp"
    write "$root" /etc/passwd <<'PASSWD'
root:x:0:0:root:/root:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
PASSWD
    write "$root" /etc/group <<'GROUP'
root:x:0:
nogroup:x:65534:
GROUP
}
