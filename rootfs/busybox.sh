# busybox: Debian's static busybox, with every applet that it has.

cmd=(sh)

fill() {
    local root=$1 applet
    unpack "$root" busybox-static
    # It is static and of this machine's architecture, so it can say itself what it offers.
    "$root/bin/busybox" --list | while read -r applet; do
        [[ -e $root/bin/$applet ]] || ln -s busybox "$root/bin/$applet"
    done

    mkdir -p "$root"/{dev,etc,home,proc,root,sys,var/tmp,tmp,run}
    chmod 0700 "$root/root"
    chmod 1777 "$root/tmp" "$root/var/tmp"
    write "$root" /etc/passwd <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
PASSWD
    write "$root" /etc/group <<'GROUP'
root:x:0:
daemon:x:1:
www-data:x:33:
nogroup:x:65534:
GROUP
}
