//! What a node that waits says, and how often: once, again when it waits for something else, and rarely while nothing changes.

use std::time::Duration;

use tokio::time::Instant;

/// A start that takes less is none to speak of.
const PATIENCE: Duration = Duration::from_secs(1);
/// What changes to and fro is not worth a line each time.
const CHANGED_AFTER: Duration = Duration::from_secs(3);
/// So that who looks at the end of the log sees it.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A wait, from its beginning.
pub(super) struct Waiting {
    begun: Instant,
    said: Option<(Instant, String)>,
}

impl Waiting {
    pub(super) fn since(begun: Instant) -> Self {
        Waiting { begun, said: None }
    }

    /// Whether it is time to say this.
    pub(super) fn is_due(&mut self, text: &str, now: Instant) -> bool {
        let due = match &self.said {
            None => now.duration_since(self.begun) >= PATIENCE,
            Some((at, said)) if said == text => now.duration_since(*at) >= AGAIN_AFTER,
            Some((at, _)) => now.duration_since(*at) >= CHANGED_AFTER,
        };
        if due {
            self.said = Some((now, text.to_owned()));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_and_when_it_changes_and_rarely_after_that() {
        let begun = Instant::now();
        let mut waiting = Waiting::since(begun);
        let mut said = Vec::new();
        for ms in (0..70_000).step_by(100) {
            let text = if ms < 5_000 { "2, 3" } else { "3" };
            if waiting.is_due(text, begun + Duration::from_millis(ms)) {
                said.push((ms, text));
            }
        }
        assert_eq!(said, [(1_000, "2, 3"), (5_000, "3"), (35_000, "3"), (65_000, "3")]);
    }

    #[test]
    fn what_changes_all_the_time_is_said_now_and_then() {
        let begun = Instant::now();
        let mut waiting = Waiting::since(begun);
        let due =
            (0..100).filter(|tenths| waiting.is_due(&tenths.to_string(), begun + Duration::from_millis(tenths * 100)));
        assert_eq!(due.count(), 3);
    }
}
