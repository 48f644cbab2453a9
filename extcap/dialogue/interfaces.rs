//! `--extcap-interfaces`: every running container is an interface.

use containerdump::container::{self, Container};
use containerdump::engine::{Listing, Outcome};
use containerdump::text::Label;

use super::sentence::Sentence;

/// Interfaces shown at most. Wireshark starts this program two or three times for each of them
/// before its window opens.
const MOST_INTERFACES: usize = 1000;

/// The interface that stands for an engine that is there but cannot be used.
pub(super) const TROUBLED: &str = "containerdump-docker";

pub(super) fn sentences(listings: &[Listing]) -> Vec<Sentence> {
    let mut sentences = vec![
        Sentence::new("extcap").with("version", env!("CARGO_PKG_VERSION")).with("display", "containerdump"),
    ];
    let mut free = MOST_INTERFACES;
    for listing in listings {
        match &listing.outcome {
            Outcome::Absent => {}
            Outcome::Containers { containers, .. } => {
                sentences.extend(containers.iter().take(free).map(interface));
                if containers.len() > free {
                    let more =
                        format!("{} more containers: containerdump capture NAME", containers.len() - free);
                    sentences.push(sentence(TROUBLED, &more));
                }
                free = free.saturating_sub(containers.len());
            }
            Outcome::Unusable(trouble) => {
                let reason = trouble.what().as_str();
                let reason = reason.rsplit_once(": ").map_or(reason, |(_, reason)| reason);
                let display = Label::with_limit(&format!("{}: {reason}", listing.engine.word()), 60);
                sentences.push(sentence(TROUBLED, &format!("{display}, start it for help")));
            }
        }
    }
    sentences
}

fn interface(container: &Container) -> Sentence {
    debug_assert!(!container::folded(&container.value).starts_with("extcap"));
    sentence(&container.value, container.display().as_str())
}

fn sentence(value: &str, display: &str) -> Sentence {
    Sentence::new("interface").with("value", value).with("display", display)
}
