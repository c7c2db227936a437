//! The groups that somebody may see or change. Pure.

/// All groups, or some by name or by the beginning of their names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every group, also those that do not exist yet.
    All,
    /// Those that one of these patterns names.
    Groups(Vec<GroupPattern>),
}

/// Which groups a pattern names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupPattern {
    /// The one with this name.
    Name(String),
    /// All whose names begin so.
    Prefix(String),
}

impl Scope {
    /// Whether it has this group.
    pub fn has(&self, group: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Groups(patterns) => patterns.iter().any(|pattern| match pattern {
                GroupPattern::Name(name) => group == name,
                GroupPattern::Prefix(beginning) => group.starts_with(beginning.as_str()),
            }),
        }
    }
}
