//! The list for scripts: docs/list-json.md.

use containerdump::container::NetworkMode;
use containerdump::link::Tap;
use containerdump::tap::{Kind, Offer};
use containerdump::text::Label;
use serde_json::{Value, json};

use super::{Found, Passes};

/// One object for each container, each on a line.
pub(super) fn lines(found: &[Found]) -> String {
    found.iter().map(|one| object(one).to_string() + "\n").collect()
}

fn object(found: &Found) -> Value {
    let container = &found.container;
    let networks = container.networks.iter().map(|network| {
        json!({
            "name": network.name.as_str(),
            "id": network.id,
            "addresses": network.addresses,
            "mac": network.mac.as_str(),
        })
    });
    let trouble = found
        .trouble
        .as_ref()
        .map(|trouble| json!({ "what": trouble.what().as_str(), "remedy": trouble.remedy().as_str() }));
    json!({
        "interface": container.value,
        "engine": container.engine.word(),
        "id": container.id.as_str(),
        "name": container.name.as_str(),
        "image": container.image.as_str(),
        "created": container.created,
        "project": container.project.as_ref().map(Label::as_str),
        "network_mode": match container.mode {
            NetworkMode::Own => "own",
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
            NetworkMode::Shared(_) => "shared",
        },
        "addresses": container.addresses().collect::<Vec<_>>(),
        "networks": networks.collect::<Vec<_>>(),
        "attachments": found.passes.iter().map(attachment).collect::<Vec<_>>(),
        "trouble": trouble,
    })
}

fn attachment(passes: &Passes) -> Value {
    let attachment = &passes.attachment;
    let (veth, index) = match &attachment.tap {
        Tap::HostVeth { name, index } => (Some(name), Some(index.0)),
        Tap::Host { index, .. } => (None, Some(index.0)),
        Tap::Inside { .. } | Tap::ThroughEngine { .. } => (None, None),
    };
    json!({
        "interface": attachment.interface.as_str(),
        "network": attachment.network.as_str(),
        "tap": passes.best().map(|offer| Kind::of(&offer.tap).word()),
        "taps": passes.offers.iter().map(offer).collect::<Vec<_>>(),
        "host_veth": veth,
        "host_index": index,
        "default": passes.is_default,
    })
}

fn offer(offer: &Offer) -> Value {
    let lack =
        offer.lack.as_ref().map(|lack| json!({ "why": lack.why.as_str(), "remedy": lack.remedy.as_str() }));
    json!({ "tap": Kind::of(&offer.tap).word(), "lack": lack })
}
