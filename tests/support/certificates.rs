//! Certificates of an engine and its clients.

use std::path::Path;
use std::process::Command;

use super::lab::output;

/// Creates certificates of an engine and its client, as in Docker's documentation.
pub(crate) fn certificates(folder: &Path) {
    let links = (0..64).map(|number| format!("IP:198.19.{number}.2"));
    let addresses: Vec<_> = links.chain(["IP:127.0.0.1".to_owned()]).collect();
    let script = format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem
        for who in server client other; do
            printf 'subjectAltName=%s\\nextendedKeyUsage=serverAuth,clientAuth\\n' {} >extensions
            openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who-key.pem -out $who.csr
            openssl x509 -req -days 2 -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial \\
                -extfile extensions -out $who-cert.pem
        done
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout stranger-key.pem -out stranger.pem
        mkdir client stranger
        cp client-cert.pem client/cert.pem; cp client-key.pem client/key.pem; cp ca.pem client/ca.pem
        cp client/* stranger; cp stranger.pem stranger/ca.pem",
        addresses.join(",")
    );
    output(Command::new("bash").args(["-euc", &script]).current_dir(folder));
}
