//! Bearer tokens from a file, as kube-apiserver's `--token-auth-file` has them: `TOKEN,USER,UID,"GROUP,GROUP"` a line.

use std::fs;
use std::io;
use std::path::Path;

use subtle::ConstantTimeEq;

use super::User;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A line is wrong. It is not shown: it may be a token.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Who bears which token.
#[derive(Default)]
pub struct Tokens(Vec<(String, User)>);

/// Users alone: a token is never printed.
impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, user)| &user.name)).finish()
    }
}

impl Tokens {
    /// Those of a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let shown = || path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: shown(), source })?;
        Self::parse(&text).map_err(|(line, reason)| Error::Line { path: shown(), line, reason })
    }

    fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (token, user) = entry(line).map_err(|reason| (index + 1, reason))?;
            tokens.push((token, user));
        }
        Ok(Self(tokens))
    }

    /// Who bears this token. Every one is compared to its end, so that the time says nothing about them but their length.
    pub fn user(&self, token: &str) -> Option<&User> {
        let mut found = None;
        for (known, user) in &self.0 {
            if bool::from(known.as_bytes().ct_eq(token.as_bytes())) {
                found = Some(user);
            }
        }
        found
    }
}

fn entry(line: &str) -> Result<(String, User), &'static str> {
    let fields = fields(line)?;
    let [token, name, uid, groups @ ..] = fields.as_slice() else {
        return Err("must have at least 3 columns (token, user name, user uid)");
    };
    if token.is_empty() {
        return Err("token is empty");
    }
    let groups = groups.first().into_iter().flat_map(|groups| groups.split(','));
    let groups = groups.map(|group| group.trim().to_owned()).filter(|group| !group.is_empty());
    Ok((token.clone(), User { uid: uid.clone(), ..User::new(name.clone(), groups) }))
}

/// The fields of a line of CSV (RFC 4180); within quotes a quote is written twice.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars().peekable();
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().ok_or("is empty")?;
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if is_quoted || field.trim().is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    if is_quoted { Err("a quote is not closed") } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_users_and_nobody_elses() {
        let text = "# comment\nabc,admin,1,\"system:masters,others\"\n\ndef,guest,2\n";
        let tokens = Tokens::parse(text).unwrap();
        let admin = tokens.user("abc").unwrap();
        assert!(admin.is_master() && admin.groups.contains("others"), "{admin:?}");
        assert_eq!(admin.uid, "1");
        assert_eq!(tokens.user("def").unwrap().groups.iter().collect::<Vec<_>>(), ["system:authenticated"]);
        for token in ["", "ab", "abcd", "ABC", "abc,admin"] {
            assert_eq!(tokens.user(token), None, "{token:?}");
        }
        assert_eq!(format!("{tokens:?}"), r#"["admin", "guest"]"#, "a token is not shown");
    }

    #[test]
    fn a_line_that_is_wrong_is_named_and_not_shown() {
        for (text, line, reason) in [
            ("a,b,c\nsecret", 2, "must have at least 3 columns (token, user name, user uid)"),
            (",b,c", 1, "token is empty"),
            ("a,b,c,\"d", 1, "a quote is not closed"),
        ] {
            assert_eq!(Tokens::parse(text).unwrap_err(), (line, reason), "{text:?}");
        }
    }
}
