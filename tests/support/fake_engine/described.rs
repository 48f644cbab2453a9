//! A container in an engine's response, with realistic defaults.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

/// One element of the list of containers.
#[derive(Clone)]
pub(crate) enum Described {
    Json(Value),
    /// Bytes that need not be JSON or UTF-8.
    Bytes(Vec<u8>),
}

/// A running container on the network `bridge`.
pub(crate) fn container(name: &str) -> Described {
    Described::Json(json!({
        "Id": id(name),
        "Names": [format!("/{name}")],
        "Image": "nginx:1.27",
        "ImageID": format!("sha256:{}", id("image")),
        "Command": "nginx -g 'daemon off;'",
        "Created": 1_700_000_000,
        "Ports": [{ "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" }],
        "Labels": {},
        "State": "running",
        "Status": "Up 2 minutes",
        "HostConfig": { "NetworkMode": "default" },
        "NetworkSettings": { "Networks": { "bridge": {
            "NetworkID": id("bridge"),
            "Gateway": "172.17.0.1",
            "IPAddress": "172.17.0.2",
            "IPPrefixLen": 16,
            "MacAddress": "02:42:ac:11:00:02",
        } } },
        "Mounts": [],
    }))
}

/// An id of 64 hexadecimal digits derived from a text.
pub(crate) fn id(text: &str) -> String {
    let digits = |part: u8| {
        let mut hasher = DefaultHasher::new();
        (part, text).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    (0..4).map(digits).collect::<Vec<_>>().concat()
}

impl Described {
    /// Sets a field of the description.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        if let Self::Json(described) = &mut self {
            described[field] = value.into();
        }
        self
    }

    pub(crate) fn image(self, image: &str) -> Self {
        self.with("Image", image)
    }

    /// Seconds since the epoch.
    pub(crate) fn created(self, created: i64) -> Self {
        self.with("Created", created)
    }

    pub(crate) fn label(mut self, label: &str, value: &str) -> Self {
        if let Self::Json(described) = &mut self {
            described["Labels"][label] = value.into();
        }
        self
    }

    pub(crate) fn network(mut self, name: &str) -> Self {
        if let Self::Json(described) = &mut self {
            described["NetworkSettings"]["Networks"][name] = json!({ "IPAddress": "172.18.0.2" });
        }
        self
    }

    /// Replaces every `text` by `bytes`, which need not be valid JSON.
    pub(crate) fn with_bytes_for(self, text: &str, bytes: &[u8]) -> Self {
        let json = self.into_json();
        let mut replaced = Vec::with_capacity(json.len());
        let mut rest = json.as_slice();
        while let Some(at) = rest.windows(text.len()).position(|window| window == text.as_bytes()) {
            replaced.extend_from_slice(&rest[..at]);
            replaced.extend_from_slice(bytes);
            rest = &rest[at + text.len()..];
        }
        replaced.extend_from_slice(rest);
        Self::Bytes(replaced)
    }

    pub(super) fn into_json(self) -> Vec<u8> {
        match self {
            Self::Json(value) => value.to_string().into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}
