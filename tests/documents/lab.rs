//! The shop that the documents speak of: `web` and `db`, on networks `shop_front` and `shop_back`.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An engine to test with.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) endpoint: String,
    image: String,
}

impl Lab {
    /// The engine that `make test` started.
    pub(crate) fn find() -> Result<Self, String> {
        if !nix::unistd::Uid::effective().is_root() {
            return Err("it needs root".to_owned());
        }
        let variable =
            |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set: run make test"));
        Ok(Self { endpoint: variable("CONTAINERDUMP_LAB")?, image: variable("CONTAINERDUMP_LAB_IMAGE")? })
    }

    /// The whole shop, with traffic both ways. There is only one at a time.
    pub(crate) fn shop(&self) -> Shop {
        static ONE: Mutex<()> = Mutex::new(());
        let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut things = Vec::new();
        for name in ["shop_front", "shop_back"] {
            self.docker(&["network", "create", name]);
            things.push(Thing { lab: self.clone(), remove: vec!["network", "rm", name] });
        }
        for image in ["nginx:1.27", "postgres:17"] {
            self.docker(&["tag", &self.image, image]);
            things.push(Thing { lab: self.clone(), remove: vec!["rmi", image] });
        }
        let project = "com.docker.compose.project=shop";
        let shop = Self { image: "postgres:17".to_owned(), ..self.clone() };
        things.push(shop.container("db", &["--network", "shop_back", "--label", project]));
        let shop = Self { image: "nginx:1.27".to_owned(), ..self.clone() };
        things.push(shop.container("web", &["--network", "shop_front", "--label", project]));
        self.docker(&["network", "connect", "shop_back", "web"]);
        self.does("db", "nc -ll -p 5432 -e cat");
        self.does("db", "while :; do wget -q -O /dev/null http://web/; sleep 0.2; done");
        self.does("web", "while :; do echo hello | nc -w 1 db 5432; sleep 0.2; done");
        // Networks and images can be removed once no container uses them.
        things.reverse();
        Shop { _things: things, _guard: guard }
    }

    /// A network whose containers have no veth.
    pub(crate) fn macvlan(&self, name: &'static str) -> Thing {
        let options = ["--driver", "macvlan", "--subnet", "198.51.100.0/24", "--opt", "parent=eth0"];
        self.docker(&[&["network", "create"], &options[..], &[name]].concat());
        Thing { lab: self.clone(), remove: vec!["network", "rm", name] }
    }

    pub(crate) fn connect(&self, network: &str, container: &str) {
        self.docker(&["network", "connect", network, container]);
    }

    /// A container that serves HTTP, with options of `docker run`.
    pub(crate) fn container(&self, name: &'static str, options: &[&str]) -> Thing {
        let run = [&["run", "--detach", "--name", name], options, &[&self.image]].concat();
        self.docker(&run);
        Thing { lab: self.clone(), remove: vec!["rm", "--force", name] }
    }

    /// A container that fails and is started again and again, while it waits for that, which takes longer
    /// each time.
    pub(crate) fn failing(&self, name: &'static str) -> Thing {
        let thing = self.container(name, &["--restart", "always", "--entrypoint", "/bin/false"]);
        let state = "{{.State.Restarting}} {{gt .RestartCount 4}}";
        while self.docker(&["inspect", "--format", state, name]).trim() != "true true" {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        thing
    }

    fn does(&self, container: &str, script: &str) {
        self.docker(&["exec", "--detach", container, "sh", "-c", script]);
    }

    fn docker(&self, arguments: &[&str]) -> String {
        output(Command::new("docker").args(["--host", &self.endpoint]).args(arguments))
    }
}

/// What [`Lab::shop`] made; it goes away with this value.
pub(crate) struct Shop {
    _things: Vec<Thing>,
    _guard: MutexGuard<'static, ()>,
}

/// Something of the engine's that goes away with this value.
pub(crate) struct Thing {
    lab: Lab,
    remove: Vec<&'static str>,
}

impl Drop for Thing {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["--host", &self.lab.endpoint]).args(&self.remove).output();
    }
}

/// What `command` prints. It must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
