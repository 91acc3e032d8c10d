//! The exposition format: families with their help and type, and their samples.

use std::fmt::Write;

use super::counted::{Counters, Histograms};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text that is being written. Each family may be begun once.
#[derive(Debug, Default)]
pub struct Exposition(String);

/// What a family's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process or the container begins anew.
    Counter,
    /// It is what it is.
    Gauge,
    /// Counts below bounds.
    Histogram,
}

/// A family whose samples are being written.
#[derive(Debug)]
pub struct Family<'t> {
    text: &'t mut String,
    name: &'t str,
}

impl Exposition {
    /// Begins a family.
    pub fn family<'t>(&'t mut self, name: &'t str, kind: Kind, help: &str) -> Family<'t> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: &mut self.0, name }
    }

    /// A family of counters as they are now.
    pub fn counters<const N: usize>(&mut self, name: &str, help: &str, counters: &Counters<N>) {
        let mut family = self.family(name, Kind::Counter, help);
        counters.each(|labels, value| family.sample(labels, value as f64));
    }

    /// A family of histograms as they are now.
    pub fn histograms<const N: usize>(&mut self, name: &str, help: &str, histograms: &Histograms<N>) {
        let Family { text, .. } = self.family(name, Kind::Histogram, help);
        histograms.each(|labels, bounds, one| {
            let mut below = 0;
            let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(&one.counts) {
                below += count;
                let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
                write(text, name, "_bucket", &labels, below as f64);
            }
            write(text, name, "_sum", labels, one.sum.as_secs_f64());
            write(text, name, "_count", labels, below as f64);
        });
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Adds a sample, whose labels no other of the family has.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        write(self.text, self.name, "", labels, value);
    }
}

fn write(text: &mut String, name: &str, suffix: &str, labels: &[(&str, &str)], value: f64) {
    text.push_str(name);
    text.push_str(suffix);
    for (nth, (label, value)) in labels.iter().enumerate() {
        let before = if nth == 0 { '{' } else { ',' };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{before}{label}=\"{value}\"");
    }
    if !labels.is_empty() {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_named_cannot_break_a_line() {
        let mut text = Exposition::default();
        text.family("x", Kind::Gauge, "two\nlines").sample(&[("a", "q\"\\\n}"), ("b", "")], 0.5);
        let text = text.finish();
        assert_eq!(text, "# HELP x two\\nlines\n# TYPE x gauge\nx{a=\"q\\\"\\\\\\n}\",b=\"\"} 0.5\n");
        super::super::lint::check(&text);
    }
}
