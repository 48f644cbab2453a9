//! The cipher of a connection: AES-GCM where this processor has instructions for it takes half of the CPU time of ssh's
//! default, ChaCha20-Poly1305, on both hosts.

use super::Host;
use super::config::SshConfig;

/// Orders that nobody has chosen: those of OpenSSH 6.7 to 9 and since 10 (`KEX_SERVER_ENCRYPT`, myproposal.h).
const DEFAULT_ORDERS: [&str; 2] = [
    "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr",
];

/// The option of `ssh` that puts AES-GCM first; `None` if another order was configured, or where AES is slow.
pub(super) fn option(host: &Host) -> Option<String> {
    if !has_aes_instructions() {
        return None;
    }
    let order = aes_gcm_first(&SshConfig::read(host).ciphers?)?;
    Some(format!("Ciphers={order}"))
}

fn aes_gcm_first(order: &str) -> Option<String> {
    if !DEFAULT_ORDERS.contains(&order) {
        return None;
    }
    let (first, others): (Vec<_>, Vec<_>) = order.split(',').partition(|cipher| cipher.contains("-gcm"));
    Some([first, others].concat().join(","))
}

fn has_aes_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_order_that_nobody_chose_is_changed() {
        for order in DEFAULT_ORDERS {
            let changed = aes_gcm_first(order).expect("another order");
            assert!(changed.starts_with("aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305"));
            assert_eq!(changed.split(',').count(), order.split(',').count());
        }
        for chosen in ["aes256-ctr", "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com", ""] {
            assert_eq!(aes_gcm_first(chosen), None);
        }
    }
}
