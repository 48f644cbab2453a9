//! The shop of the documents: containers `web` and `db`, on networks `shop_front` and `shop_back`.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::support::lab::Lab;

/// The running shop; it is removed when dropped.
pub(crate) struct Shop {
    _resources: Vec<Resource>,
    _guard: MutexGuard<'static, ()>,
}

impl Shop {
    /// Starts the shop, with traffic in both directions. Only one runs at a time.
    pub(crate) fn start(lab: &Lab) -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut resources = Vec::new();
        for name in ["shop_front", "shop_back"] {
            lab.docker(&["network", "create", name]);
            resources.push(Resource { lab: lab.clone(), remove: vec!["network", "rm", name] });
        }
        for image in ["nginx:1.27", "postgres:17"] {
            lab.docker(&["tag", &lab.image, image]);
            resources.push(Resource { lab: lab.clone(), remove: vec!["rmi", image] });
        }
        let project = "com.docker.compose.project=shop";
        for (name, network, image) in
            [("db", "shop_back", "postgres:17"), ("web", "shop_front", "nginx:1.27")]
        {
            let lab = Lab { image: image.to_owned(), ..lab.clone() };
            resources.push(container(&lab, name, &["--network", network, "--label", project]));
        }
        connect(lab, "shop_back", "web");
        let run = |container: &str, script: &str| {
            lab.docker(&["exec", "--detach", container, "sh", "-c", script]);
        };
        run("db", "nc -ll -p 5432 -e cat");
        run("db", "while :; do wget -q -O /dev/null http://web/; sleep 0.2; done");
        run("web", "while :; do echo hello | nc -w 1 db 5432; sleep 0.2; done");
        // Networks and images can be removed once no container uses them.
        resources.reverse();
        Self { _resources: resources, _guard: guard }
    }
}

/// A network, image or container of the engine; it is removed when dropped.
pub(crate) struct Resource {
    lab: Lab,
    remove: Vec<&'static str>,
}

impl Drop for Resource {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["--host", &self.lab.endpoint]).args(&self.remove).output();
    }
}

/// Creates a network whose containers have no veth.
pub(crate) fn macvlan(lab: &Lab, name: &'static str) -> Resource {
    let options = ["--driver", "macvlan", "--subnet", "198.51.100.0/24", "--opt", "parent=eth0"];
    lab.docker(&[&["network", "create"], &options[..], &[name]].concat());
    Resource { lab: lab.clone(), remove: vec!["network", "rm", name] }
}

pub(crate) fn connect(lab: &Lab, network: &str, container: &str) {
    lab.docker(&["network", "connect", network, container]);
}

/// Starts a container that serves HTTP, with options of `docker run`.
pub(crate) fn container(lab: &Lab, name: &'static str, options: &[&str]) -> Resource {
    lab.docker(&[&["run", "--detach", "--name", name], options, &[&lab.image]].concat());
    Resource { lab: lab.clone(), remove: vec!["rm", "--force", name] }
}

/// Starts a container that fails, and waits until the engine restarts it with a delay.
pub(crate) fn failing(lab: &Lab, name: &'static str) -> Resource {
    let resource = container(lab, name, &["--restart", "always", "--entrypoint", "/bin/false"]);
    let state = "{{.State.Restarting}} {{gt .RestartCount 4}}";
    while lab.docker(&["inspect", "--format", state, name]) != "true true" {
        std::thread::sleep(Duration::from_millis(100));
    }
    resource
}
