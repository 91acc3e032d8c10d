# nginx: Debian's nginx with the libraries that it needs. No shell and no package manager: nothing else is in it.

cmd=(nginx -g 'daemon off;')
stop_signal=SIGQUIT # nginx finishes the requests at hand before it leaves
exposed_ports=(80/tcp)

fill() {
    local root=$1
    # nginx-common holds the configuration and the index page.
    # shellcheck disable=SC2046
    unpack "$root" $(libraries nginx) nginx nginx-common
    # What serves an init system, a firewall or an editor has no use here.
    rm -rf "$root"/etc/{default,init.d,logrotate.d,ufw,network} "$root"/usr/lib/systemd \
        "$root"/usr/share/{apport,bash-completion,vim,gcc,gdb,libc-bin} "$root"/etc/nginx/sites-available

    mkdir -p "$root"/{dev,proc,root,run,sys,tmp,var/tmp,var/log/nginx,var/lib/nginx}
    chmod 0700 "$root/root"
    chmod 1777 "$root/tmp" "$root/var/tmp"
    # The container's log is its output.
    ln -sf /dev/stdout "$root/var/log/nginx/access.log"
    ln -sf /dev/stderr "$root/var/log/nginx/error.log"

    # Debian's nginx.conf runs its workers as www-data and includes the files of conf.d.
    write "$root" /etc/nginx/conf.d/default.conf <<'CONF'
server {
    listen 80 default_server;
    server_name _;
    root /usr/share/nginx/html;
    index index.html;
}
CONF
    write "$root" /etc/passwd <<'PASSWD'
root:x:0:0:root:/root:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
PASSWD
    write "$root" /etc/group <<'GROUP'
root:x:0:
adm:x:4:
www-data:x:33:
nogroup:x:65534:
GROUP
    write "$root" /etc/nsswitch.conf <<'NSSWITCH'
passwd: files
group: files
hosts: files dns
NSSWITCH

    grep -q '<title>Welcome to nginx!</title>' "$root/usr/share/nginx/html/index.html" ||
        die "nginx-common has another index page than expected"
}
