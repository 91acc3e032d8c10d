//! Paths and parameters of requests, escaped.

use std::fmt::Write;

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Query(String);

impl Query {
    /// Adds a parameter.
    pub(in crate::cli) fn add(&mut self, name: &str, value: &str) {
        let between = if self.0.is_empty() { "" } else { "&" };
        let _ = write!(self.0, "{between}{name}={}", segment(value));
    }

    /// Adds a parameter if it has a value.
    pub(in crate::cli) fn add_some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// The path with these parameters.
    pub(in crate::cli) fn below(&self, path: &str) -> String {
        if self.0.is_empty() { path.to_owned() } else { format!("{path}?{}", self.0) }
    }
}

/// A text as one segment of a path, or as a value (RFC 3986): everything but unreserved characters is escaped.
pub(in crate::cli) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_escaped() {
        let mut query = Query::default();
        assert_eq!(query.below("/a"), "/a");
        query.add("labelSelector", "a in (b,c)");
        query.add_some("none", None);
        query.add_some("f", Some("é/.."));
        assert_eq!(query.below("/a"), "/a?labelSelector=a%20in%20%28b%2Cc%29&f=%C3%A9%2F..");
    }
}
