//! What a plugin has told, for as long as it holds. Reads no clock.

use std::collections::HashMap;
use std::time::Instant;

use super::protocol::Scope;
use crate::image::registry::Keyring;

/// What an answer is kept for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Image(String),
    Registry(String),
    Global,
}

/// The answers of a plugin that hold.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// With the moment in which it ends to hold.
    answers: HashMap<Key, (Keyring, Instant)>,
}

impl Cache {
    /// What holds for a repository, the most specific answer first.
    pub(super) fn find(&self, repository: &str, now: Instant) -> Option<&Keyring> {
        let keys = [Scope::Image, Scope::Registry, Scope::Global].map(|scope| key(scope, repository));
        let mut answers = keys.iter().filter_map(|key| self.answers.get(key));
        answers.find(|(_, until)| now <= *until).map(|(keyring, _)| keyring)
    }

    /// Keeps an answer, and nothing that does not hold any more.
    pub(super) fn keep(
        &mut self,
        scope: Scope,
        repository: &str,
        keyring: Keyring,
        until: Instant,
        now: Instant,
    ) {
        self.answers.retain(|_, (_, until)| now <= *until);
        self.answers.insert(key(scope, repository), (keyring, until));
    }
}

fn key(scope: Scope, repository: &str) -> Key {
    match scope {
        Scope::Image => Key::Image(repository.to_owned()),
        Scope::Registry => Key::Registry(repository.split('/').next().unwrap_or_default().to_owned()),
        Scope::Global => Key::Global,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::image::registry::Credential;

    fn told(name: &str) -> Keyring {
        let credential = Credential::Basic { username: name.to_owned(), password: "p".to_owned() };
        Keyring::of_pairs([("a".to_owned(), credential)])
    }

    fn name(keyring: Option<&Keyring>) -> Option<String> {
        keyring.map(|keyring| match keyring.find("a/x").as_slice() {
            [Credential::Basic { username, .. }] => username.clone(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn an_answer_holds_for_what_it_says_and_as_long_as_it_says() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut cache = Cache::default();
        cache.keep(Scope::Global, "a/x", told("all"), after(30), now);
        cache.keep(Scope::Registry, "a:1/x", told("registry"), after(20), now);
        cache.keep(Scope::Image, "a:1/x", told("image"), after(10), now);
        for (repository, seconds, expected) in [
            ("a:1/x", 10, Some("image")),
            ("a:1/x", 11, Some("registry")),
            ("a:1/y", 0, Some("registry")),
            ("a:1/y", 21, Some("all")),
            ("a/x", 0, Some("all")),
            ("a:1", 0, Some("registry")),
            ("a:1/x", 31, None),
        ] {
            let found = name(cache.find(repository, after(seconds)));
            assert_eq!(found.as_deref(), expected, "{repository} {seconds}");
        }
        cache.keep(Scope::Image, "b/x", told("b"), after(99), after(25));
        assert_eq!(cache.answers.len(), 2, "what holds no more is forgotten");
    }
}
