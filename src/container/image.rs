//! Image names, shortened for display.

/// Digits shown of a digest, as in `docker images`.
const DIGEST_LEN: usize = 12;

/// `image` in at most `width` characters, shortened at the start (`…/web:1.4`), since its end distinguishes images.
pub fn shortened_image(image: &str, width: usize) -> String {
    let fits = |text: &str| text.chars().count() <= width;
    if fits(image) {
        return image.to_owned();
    }
    let image = match image.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@{}", digest.get(..DIGEST_LEN).unwrap_or(digest)),
        None => image.to_owned(),
    };
    let ends = image.match_indices('/').map(|(at, _)| format!("…{}", &image[at..]));
    if let Some(shown) = std::iter::once(image.clone()).chain(ends).find(|end| fits(end)) {
        return shown;
    }
    let excess = (image.chars().count() + 1).saturating_sub(width);
    image.chars().skip(excess).fold("…".to_owned(), |shown, one| shown + one.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::shortened_image;

    #[test]
    fn an_image_name_is_shortened_by_whole_path_segments() {
        let image = "registry.example.org/platform/team-payments/checkout-service:2024.11.29";
        assert_eq!(shortened_image(image, 80), image);
        assert_eq!(shortened_image(image, 50), "…/team-payments/checkout-service:2024.11.29");
        assert_eq!(shortened_image(image, 30), "…/checkout-service:2024.11.29");
        assert_eq!(shortened_image(image, 12), "…:2024.11.29");
        assert_eq!(shortened_image("é/ü", 2), "…ü");
    }

    #[test]
    fn a_digest_is_shortened_first() {
        let image = format!("registry.example.org/web@sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(shortened_image(&image, 40), "registry.example.org/web@0123456789ab");
        assert_eq!(shortened_image(&image, 20), "…/web@0123456789ab");
    }
}
