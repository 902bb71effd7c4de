use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The clause, such as `6.1.3-1`.
    pub clause: &'static str,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.clause, self.message)
    }
}

#[derive(Default)]
pub(crate) struct Report(pub(crate) Vec<Finding>);

impl Report {
    pub(crate) fn add(&mut self, clause: &'static str, message: impl Into<String>) {
        self.0.push(Finding { clause, message: message.into() });
    }

    pub(crate) fn require(&mut self, holds: bool, clause: &'static str, message: &str) {
        if !holds {
            self.add(clause, message);
        }
    }
}
