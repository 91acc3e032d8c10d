//! What it costs to keep many pods that are probed every second, in time of a processor.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

use crate::answer::first_answers;
use crate::contestant::mkubelet::{self, BRIDGE, Ours};
use crate::upkeep::{Load, Measurement};

/// From the pods' first answers until what they do is the same every second.
const SETTLE: Duration = Duration::from_secs(10);

/// A whole gRPC health check: preface, SETTINGS, HEADERS (POST, http, path), DATA (an empty request) with END_STREAM.
const CHECK: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\
    \0\0\x20\x01\x04\0\0\0\x01\x83\x86\x04\x1c/grpc.health.v1.Health/Check\
    \0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0";

/// What the pods are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probes {
    /// Nothing.
    None,
    /// Three each second: httpGet, tcpSocket and grpc.
    Network,
    /// One exec each second.
    Exec,
}

impl Measurement<'_> {
    /// Runs pods with these probes, and looks at the agent; when it is done, asks them the same from one thread.
    pub fn probes(&self, probes: Probes) -> Result<Vec<Load>> {
        let (send, receive) = mpsc::channel();
        let mut agent = mkubelet::run(self.program, &self.directories, &self.probed(probes)?, &send)?;
        let measured = (|| {
            drop(send);
            let answers = first_answers(&receive, self.pods, BRIDGE)?;
            thread::sleep(SETTLE);
            let mut loads = Vec::new();
            if probes == Probes::Network {
                let ips: Vec<_> = answers.iter().map(|answer| answer.ip).collect();
                loads.push(self.floor(&ips)?);
            }
            ensure!(agent.try_wait()?.is_none(), "mkubelet has ended");
            loads.push(self.watch_probes(agent.id(), probes)?);
            Ok(loads)
        })();
        let stopped = mkubelet::stop(vec![agent]);
        measured.and_then(|loads| stopped.map(|()| loads))
    }

    fn probed(&self, probes: Probes) -> Result<String> {
        let image = self.rootfs.display();
        let mut text = String::new();
        for number in 1..=self.pods {
            write!(
                text,
                "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: bench-{number}\nspec:\n  \
                 terminationGracePeriodSeconds: 5\n  containers:\n  - name: health\n    image: dir:{image}\n    \
                 command: [/server, health]\n"
            )?;
            if probes == Probes::Network {
                text += "    livenessProbe: {grpc: {port: 81}, periodSeconds: 1}\n";
            }
            write!(text, "  - name: server\n    image: dir:{image}\n    command: [/server]\n")?;
            text += match probes {
                Probes::None => "",
                Probes::Network => {
                    "    livenessProbe: {httpGet: {port: 80}, periodSeconds: 1}\n    \
                     readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}\n"
                }
                Probes::Exec => "    livenessProbe: {exec: {command: [/server, exit]}, periodSeconds: 1}\n",
            };
        }
        Ok(text)
    }

    fn watch_probes(&self, agent: u32, probes: Probes) -> Result<Load> {
        let ours = Ours::of(&self.directories.run)?;
        ensure!(
            ours.shims.len() == self.pods && ours.pauses.len() == self.pods,
            "{} shims and {} pauses of {} pods",
            ours.shims.len(),
            ours.pauses.len(),
            self.pods
        );
        let (name, questions) = match probes {
            Probes::None => ("no probes".to_owned(), 0),
            Probes::Network => ("httpGet, tcpSocket and grpc".to_owned(), 3 * self.pods),
            Probes::Exec => ("exec".to_owned(), self.pods),
        };
        self.watch(agent, &ours.all(), Load { name, questions, ..Load::default() })
    }

    /// The same questions, with nothing but blocking system calls.
    fn floor(&self, ips: &[Ipv4Addr]) -> Result<Load> {
        let name = "kernel floor (connect, write, read, close)".to_owned();
        let mut load = Load { name, questions: 3 * ips.len(), ..Load::default() };
        let time = || -> Result<Duration> {
            let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
            let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
            Ok(Duration::from_micros((micros(usage.user_time()) + micros(usage.system_time())).try_into()?))
        };
        for _ in 0..self.spans {
            let (begin, before) = (Instant::now(), time()?);
            let mut next = begin;
            while begin.elapsed() < self.span {
                for ip in ips {
                    ask(*ip).with_context(|| format!("ask {ip}"))?;
                }
                next += Duration::from_secs(1);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            load.agent.push((time()? - before).as_secs_f64() / begin.elapsed().as_secs_f64());
        }
        Ok(load)
    }
}

/// The three questions, one after another.
fn ask(ip: Ipv4Addr) -> Result<()> {
    let mut answer = [0; 1024];
    let mut http = TcpStream::connect((ip, 80))?;
    http.write_all(b"GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
    while http.read(&mut answer)? > 0 {}
    drop(TcpStream::connect((ip, 80))?);
    let mut grpc = TcpStream::connect((ip, 81))?;
    grpc.write_all(CHECK)?;
    ensure!(grpc.read(&mut answer)? > 0, "no answer to a health check");
    Ok(())
}
