//! The signal that asks a container to end. Pure.

use nix::sys::signal::Signal;

use crate::image::Image;
use crate::pod::ContainerSpec;

/// The signal that asks a container to end: its own, else its image's.
pub(super) fn stop_signal(spec: &ContainerSpec, image: &Image) -> i32 {
    let own = spec.lifecycle.stop_signal.as_deref();
    own.or(image.config.stop_signal().as_deref()).map_or(libc::SIGTERM, signal_number)
}

/// A signal as images write it: `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`. What is no signal is SIGTERM, as for other runtimes.
pub(crate) fn signal_number(text: &str) -> i32 {
    let name = text.trim().to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    // Other names of the same signals (signal(7)), which Kubernetes knows too.
    let name = match name {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        name => name,
    };
    let last = libc::SIGRTMAX();
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        offset => offset.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => offset(rest, '+').map(|offset| libc::SIGRTMIN() + offset),
        (_, Some(rest)) => offset(rest, '-').map(|offset| last - offset),
        _ => name.parse().ok().or_else(|| format!("SIG{name}").parse::<Signal>().ok().map(|s| s as i32)),
    };
    number.filter(|number| (1..=last).contains(number)).unwrap_or(libc::SIGTERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_are_read_as_images_write_them() {
        for (text, want) in [
            ("SIGQUIT", libc::SIGQUIT),
            ("quit", libc::SIGQUIT),
            ("9", 9),
            ("SIGRTMIN+3", libc::SIGRTMIN() + 3),
            ("RTMAX-1", libc::SIGRTMAX() - 1),
            ("SIGRTMIN", libc::SIGRTMIN()),
            ("", libc::SIGTERM),
            ("0", libc::SIGTERM),
            ("4096", libc::SIGTERM),
            ("-1", libc::SIGTERM),
            ("SIGRTMIN+99", libc::SIGTERM),
            ("SIGRTMIN+2147483647", libc::SIGTERM),
            ("SIGRTMIN+-3", libc::SIGTERM),
            ("SIGRTMIN-1", libc::SIGTERM),
            ("NOPE", libc::SIGTERM),
            ("SIGCLD", libc::SIGCHLD),
            ("SIGIOT", libc::SIGABRT),
            ("SIGPOLL", libc::SIGIO),
            ("SIGSTKFLT", libc::SIGSTKFLT),
            ("SIGPWR", libc::SIGPWR),
        ] {
            assert_eq!(signal_number(text), want, "{text:?}");
        }
    }
}
